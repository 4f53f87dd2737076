"""What runs inside the environments of the NPU tools; nothing here imports vla_nav.

Each script reads a JSON request and writes a JSON answer: ``python SCRIPT REQUEST ANSWER``.
"""
