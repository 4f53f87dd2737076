from vla_nav.control.liveness import PictureWatch, Sight

MS = 1_000_000


def test_a_picture_that_does_not_change_counts_as_none():
    watch = PictureWatch(500 * MS)
    assert watch.judge(0, 200 * MS) is Sight.WAITING
    watch.see(True, 0)
    for t in range(0, 500, 50):
        watch.see(False, t * MS)
        assert watch.judge(t * MS, 200 * MS) is Sight.FRESH
    watch.see(False, 500 * MS)
    assert watch.judge(500 * MS, 200 * MS) is Sight.FROZEN
    watch.see(True, 510 * MS)
    assert watch.judge(510 * MS, 200 * MS) is Sight.FRESH


def test_silence_counts_from_the_newest_picture():
    watch = PictureWatch(500 * MS)
    watch.see(True, 0)
    assert watch.judge(199 * MS, 200 * MS) is Sight.FRESH
    assert watch.judge(200 * MS, 200 * MS) is Sight.LOST
    assert watch.silence_ns(200 * MS) == 200 * MS


def test_zero_accepts_identical_pictures():
    watch = PictureWatch(0)
    for t in range(0, 2000, 100):
        watch.see(False, t * MS)
    assert watch.judge(1900 * MS, 200 * MS) is Sight.FRESH
