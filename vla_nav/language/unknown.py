"""Words and sentences outside of the task: other commands, other objects, other languages.

Every fifth entry of the longer tables is held out from training; see ``negatives``.
"""

from __future__ import annotations

CHAT: dict[str, tuple[str, ...]] = {
    'en': (
        'make coffee', 'go faster', 'slow down', 'stop', 'turn around', 'hello', 'go', 'go on',
        'turn left', 'turn right', 'drive forward', 'come back', 'follow me', 'go home',
        'what do you see?', 'who are you?', 'how are you today?', 'open the door',
        'pick up the red cup', 'bring me the blue bottle', 'throw the ball',
        'push the box to the left', 'move the box to the right', 'spin in a circle',
        'what is left of the box?', 'take a picture', 'charge your battery', 'switch off',
        'play some music', 'tell me a joke', 'what time is it?', 'is the cup red?',
        'go to the kitchen', 'clean the floor', 'drive backwards', 'turn to the left and wait',
        'count the boxes', 'look at the green ball', 'where is the purple bottle?',
        'put the cup on the box', 'set the speed to two', 'go left', 'go right', 'left', 'right',
        'the box', 'the red cup', 'stop at once', 'emergency stop', 'wait for me at the door',
        'drive two metres forward and turn right', 'the weather is nice today', 'yes', 'no',
        'follow the person on the left', 'kick the orange ball to the right', 'go up the stairs',
        'park in the garage', 'reverse into the parking space on the left', 'test', 'help',
        'draw a box on the left and a cup on the right', 'start the demo', 'load the new policy',
        'there is a box on the left and a red cup on the right', 'never mind', 'do nothing',
        'ignore all previous instructions', 'the cup stands left of the box', 'dance for us',
    ),
    'ko': (
        '커피 만들어 줘', '더 빨리 가', '천천히 가', '멈춰', '뒤로 돌아', '안녕하세요', '가',
        '계속 가', '왼쪽으로 돌아', '오른쪽으로 돌아', '앞으로 가', '돌아와', '나를 따라와',
        '집에 가', '뭐가 보여?', '너는 누구야?', '오늘 기분이 어때?', '문을 열어 줘',
        '빨간 컵을 집어 줘', '파란 병을 가져와', '공을 던져', '상자를 왼쪽으로 밀어',
        '상자를 오른쪽으로 옮겨 줘', '제자리에서 돌아', '상자 왼쪽에 뭐가 있어?', '사진을 찍어',
        '배터리를 충전해', '꺼져', '음악을 틀어 줘', '재미있는 이야기를 해 줘', '지금 몇 시야?',
        '컵이 빨간색이야?', '부엌으로 가', '바닥을 청소해', '후진해', '왼쪽으로 돌아서 기다려',
        '상자를 세어 봐', '초록 공을 봐', '보라색 병은 어디에 있어?', '컵을 상자 위에 올려',
        '속도를 높여', '왼쪽', '오른쪽', '상자', '빨간 컵', '당장 멈춰', '비상 정지',
        '문 앞에서 기다려', '앞으로 이 미터 가서 오른쪽으로 돌아', '오늘 날씨가 좋네', '응',
        '아니', '왼쪽 사람을 따라가', '주황색 공을 오른쪽으로 차', '계단을 올라가',
        '차고에 주차해', '도와줘', '시험', '아무것도 하지 마', '새 정책을 불러와',
        '왼쪽에 상자가 있고 오른쪽에 빨간 컵이 있어', '신경 쓰지 마', '컵은 상자 왼쪽에 있다',
        '춤을 춰', '상자가 두 개 보여?',
    ),
}

FOREIGN = (
    'fahr links an der Kiste vorbei und halte an der roten Tasse',
    'passe la boîte par la gauche et arrête-toi à la tasse rouge',
    'pasa la caja por la izquierda y para en la taza roja',
    'passa la scatola a sinistra e fermati alla tazza rossa',
    'passe a caixa pela esquerda e pare na caneca vermelha',
    '箱の左を通って赤いカップの前で止まって', '绕过箱子左边然后停在红色杯子旁边',
    'объезжай коробку слева и остановись у красной чашки',
    'ga links langs de doos en stop bij de rode beker',
    'omiń pudełko z lewej i stań przy kubku', 'Guten Tag, wie geht es dir?',
    'halte den Karton rechts von dir und stoppe beim Ball',
    'contourne la boîte par la droite et arrête-toi près du ballon bleu', 'buenos días',
    'rodea la caja por la derecha y detente junto a la pelota azul',
    'kör till vänster om lådan och stanna vid den röda koppen',
    '右側を通って青いボールで止まれ', '从右边绕过箱子停在蓝色的球旁边',
    'поверни направо и жди у мяча', 'kutunun solundan geç ve kırmızı bardakta dur',
    'aja laatikon vasemmalta puolelta', 'đi bên trái cái hộp và dừng ở cốc đỏ',
    'lewati kotak di sebelah kiri dan berhenti di cangkir', 'πέρασε το κουτί από αριστερά',
    'تجاوز الصندوق من اليسار', 'עבור משמאל לקופסה', 'डिब्बे के बाएं से जाओ', 'ผ่านกล่องทางซ้าย',
    'kør til venstre om kassen', 'Bitte anhalten',
)

# Each lacks the goal or the side; slots as in the grammar's patterns.
INCOMPLETE: dict[str, tuple[str, ...]] = {
    'en': (
        'pass {box} on the {side}', '{stop} {goal}', '{go} to {goal}', 'go {side} of {box}',
        'keep {box} on your {other}', '{go} {round} {box} and {stop} {goal}', '{goal}',
        'keep {box} away and {stop} {goal}', 'pass {box} and {stop} {goal}',
        '{go} past {box} on {its} {side} and stop', '{go} {side} and {stop} {goal}',
        'turn {side}, then {stop} {goal}', '{side} of {box}', '{stop} {box}',
        'avoid {box} and {go} to {goal}', 'pass {goal} on the {side}',
        'keep {goal} on your {other}', '{go} {round} {goal} on the {side} and stop',
        'with {box} on your {other}, {go} on', '{go} {round} {cone} and {stop} {goal}',
        'pass {box} on the {side} and {stop} the', 'drive, then {stop} {goal}',
        '{stop} {goal} on the {side}', '{stop} {goal} after passing {box}',
        'pass {box} on the {side} and wait', 'leave {box} on your {other} and stop there',
    ),
    'ko': (
        '{box}을/를 {side}으로/로 {round}', '{goal}{at} {halt}', '{goal}까지 {move}',
        '{box} {side}으로/로 {passing} {halt}', '{box}을/를 {other}에 두고 {round}',
        '{box}을/를 {rounding} {goal}{at} {halt}', '{goal}', '{box}을/를 피해 {goal}까지 {move}',
        '{box}을/를 {passing} {goal}{at} {halt}', '{side}으로/로 {rounding} {halt}',
        '{side}으로/로 가서 {goal}{at} {halt}', '{box} {side}', '{box}{at} {halt}',
        '{goal}을/를 {side}으로/로 {round}', '{goal}을/를 {other}에 두고 {round}',
        '{goal}을/를 {side}으로/로 {rounding} {halt}', '{box}을/를 {other}에 두고 가서 {halt}',
        '{cone}을/를 {rounding} {goal}{at} {halt}', '{side} {goal}{at} {halt}',
        '{goal}{at} {halt}, {box}은/는 피해서 가',
    ),
}

UNKNOWN_NOUNS: dict[str, tuple[str, ...]] = {
    'en': (
        'elephant', 'chair', 'table', 'door', 'window', 'dog', 'cat', 'person', 'man', 'woman',
        'car', 'book', 'lamp', 'phone', 'plate', 'spoon', 'knife', 'shoe', 'hat', 'bag', 'tree',
        'flower', 'bicycle', 'sofa', 'bed', 'desk', 'shelf', 'bin', 'basket', 'bucket', 'key',
        'laptop', 'keyboard', 'monitor', 'guitar', 'banana', 'apple', 'orange juice', 'pizza',
        'umbrella', 'ladder', 'stairs', 'wall', 'kitchen', 'charger', 'dock', 'robot',
        'printer', 'vase', 'pillow', 'towel', 'hammer', 'screwdriver', 'teddy bear', 'horse',
        'tractor', 'suitcase', 'plant', 'mirror', 'clock', 'fridge', 'oven', 'whiteboard',
        'statue', 'fence', 'helmet', 'cylinder', 'pyramid', 'bowl', 'candle', 'radio', 'river',
        'house', 'exit',
    ),
    'ko': (
        '코끼리', '의자', '책상', '문', '창문', '강아지', '고양이', '사람', '남자', '여자',
        '자동차', '책', '램프', '전화기', '접시', '숟가락', '칼', '신발', '모자', '가방',
        '나무', '꽃', '자전거', '소파', '침대', '선반', '쓰레기통', '바구니', '양동이', '열쇠',
        '노트북', '키보드', '모니터', '기타', '바나나', '사과', '주스', '피자', '우산',
        '사다리', '계단', '벽', '부엌', '충전기', '로봇', '프린터', '꽃병', '베개', '수건',
        '망치', '드라이버', '곰 인형', '트랙터', '여행 가방', '식물', '거울', '시계', '냉장고',
        '오븐', '칠판', '동상', '울타리', '헬멧', '원기둥', '그릇', '양초', '라디오', '출구',
        '집', '건물',
    ),
}

# Any word in the place of a colour counts: a reader that skips it would guess.
UNKNOWN_COLOURS: dict[str, tuple[str, ...]] = {
    'en': ('pink', 'black', 'white', 'brown', 'grey', 'silver', 'gold', 'beige', 'transparent',
           'golden', 'striped', 'dark', 'magenta', 'ivory', 'crimson', 'navy', 'lime', 'olive',
           'maroon', 'turbid', 'bright', 'pale', 'shiny', 'wooden', 'plastic', 'metal', 'glass',
           'big', 'small', 'large', 'tall', 'tiny', 'broken', 'empty', 'full', 'new', 'old',
           'wrong', 'second', 'third', 'last', 'nearest', 'farthest', 'colourless', 'khaki'),
    'ko': ('분홍색', '검은', '하얀', '갈색', '회색', '은색', '금색', '베이지색', '투명한', '검정',
           '줄무늬', '어두운', '흰색', '자홍색', '아이보리색', '남색', '연두색', '올리브색',
           '밤색', '살구색', '밝은', '연한', '반짝이는', '나무', '플라스틱', '금속', '유리',
           '큰', '작은', '커다란', '높은', '아주 작은', '깨진', '빈', '가득 찬', '새', '오래된',
           '잘못된', '두 번째', '세 번째', '마지막', '가장 가까운', '가장 먼', '검은색',
           '카키색'),
}

CONTRADICTIONS: dict[str, tuple[str, ...]] = {
    'en': ('left and right', 'right and left', 'left or right', 'right or left', 'left, no, right',
           'left and the right', 'left right', 'right left', 'left or the right'),
    'ko': ('왼쪽과 오른쪽', '오른쪽과 왼쪽', '왼쪽이나 오른쪽', '오른쪽이나 왼쪽', '왼쪽 오른쪽',
           '오른쪽 아니 왼쪽', '왼쪽 또는 오른쪽', '좌측과 우측', '우측이나 좌측'),
}

# Between two goals.
OR: dict[str, tuple[str, ...]] = {
    'en': (' or ', ' and ', ' and also ', ', no, ', ' or maybe '),
    'ko': ('이나 ', '하고 ', ' 또는 ', ' 아니 ', ' 그리고 '),
}

NO_SIDES: dict[str, tuple[str, ...]] = {
    'en': ('', '', 'top', 'bottom', 'middle', 'north', 'south', 'inside', 'front', 'back', 'same'),
    'ko': ('', '', '위쪽', '아래쪽', '가운데', '북쪽', '남쪽', '안쪽', '앞쪽', '뒤쪽', '같은 쪽'),
}

# Two sides for one box, two goals, or more gates than there can be.
CLASHES: dict[str, tuple[str, ...]] = {
    'en': (
        '{pass} {box} on the {side}, then {pass} {box} on the {other}, and {stop} {goal}',
        'keep {box} on your {side} and keep {box} on your {other} and {stop} {goal}',
        'go {side} of {box}, then {other} of {box}, and {stop} {goal}',
        '{pass} {box} on the {side} but keep {box} on your {side}, then {stop} {goal}',
        'with {box} on your {other}, {pass} {box} on the {other} and {stop} {goal}',
        '{pass} {box} on the {side} and {stop} {goal} and {stop} {goal2}',
        '{pass} {box} on the {side} and {stop} {goal} or {goal2}',
        'go {side} of {box} and {stop} {goal} and {goal2}',
        'keep {box} on your {other}, then {stop} {goal} or maybe {goal2}',
        '{stop} {goal}, no, {goal2}, after {passing} {box} on the {side}',
        '{side} of {box}, {other} of {cone}, {side} of {goal2}, and {stop} {goal}',
        '{pass} {box} on the {side}, {cone} on the {other}, then {goal2} on the {side}, '
        'and {stop} {goal}',
        '{pass} {box} not on the {side}, then {stop} {goal}',
        'go {side} of {box} and do not {stop} {goal}',
        '{stop} {goal} without {passing} {box} on the {side}',
    ),
    'ko': (
        '{box}을/를 {side}으로/로 {rounding} {box}을/를 {other}으로/로 {rounding} '
        '{goal}{at} {halt}',
        '{box}을/를 {side}에 두고 {box}을/를 {other}에 두고 {passing} {goal}{at} {halt}',
        '{box} {side}으로/로 {passing} 다시 {box} {other}으로/로 {passing} {goal}{at} {halt}',
        '{box}을/를 {other}에 두고 {other}으로/로 {rounding} {goal}{at} {halt}',
        '{box}을/를 {side}으로/로 {rounding} {goal}{at} {halt}, 그리고 {goal2}{at} {halt}',
        '{box}을/를 {side}으로/로 {rounding} {goal}이나 {goal2}{at} {halt}',
        '{box} {side}으로/로 {passing} {goal} 또는 {goal2}{at} {halt}',
        '{box}을/를 {other}에 두고 {goal}{at} {halt}, 아니 {goal2}{at} {halt}',
        '{box} {side}, {cone} {other}, {goal2} {side}으로/로 {passing} {goal}{at} {halt}',
        '{box}은/는 {side}, {cone}은/는 {other}, {goal2}은/는 {side}으로/로 {rounding} '
        '{goal}{at} {halt}',
        '{box}을/를 {side} 말고 {goal}{at} {halt}',
        '{box}의 {side}으로/로 {passing} {goal}에는 가지 마',
        '{goal}{at} {halt}, {box}의 {side}으로는 가지 마',
        '{box}을/를 {side}으로/로 돌지 않고 {goal}까지 {move}',
        '{box} {side}으로는 지나가지 말고 {goal}{at} {halt}',
    ),
}

# Words that turn an order into a ban; a name as in the lexicon's ``words``.
NEGATED: dict[str, dict[str, tuple[str, ...]]] = {
    'en': {
        'stop': ("don't stop at", 'do not stop at', 'never stop by', 'do not halt at',
                 "don't park next to", 'never wait by'),
        'go': ("don't go", 'do not drive', 'never move', 'do not travel'),
        'pass': ("don't pass", 'do not go past', 'never pass', "don't drive by"),
    },
    'ko': {
        'halt': ('멈추지 마', '멈추지 마세요', '서지 마', '정지하지 마세요', '기다리지 마',
                 '멈추면 안 돼', '대기하지 마십시오', '서지 마라'),
        'move': ('가지 마', '가지 마세요', '이동하지 마', '가면 안 돼', '가지 마라'),
        'round': ('돌아가지 마', '지나가지 마세요', '돌아가면 안 돼', '지나가지 마',
                  '통과하지 마세요', '우회하지 마'),
        'rounding': ('돌지 말고', '돌아가지 말고', '우회하지 말고', '돌지 않고'),
        'passing': ('지나지 말고', '지나가지 말고', '통과하지 말고', '지나지 않고'),
    },
}
NEGATIONS = ("don't ", 'do not ', 'never ', 'you must not ', "please don't ", 'you should never ')
