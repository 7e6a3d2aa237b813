import io

from fastvideo.entrypoints.cli.progress import ProgressLine
from tests.entrypoints.cli.terminal import Terminal


def test_a_terminal_has_one_line_that_is_drawn_over(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    terminal, now_s = Terminal(), [10.0]
    line = ProgressLine(terminal, clock=lambda: now_s[0])
    line.update("denoise", 0, 4)
    now_s[0] = 70.0
    line.update("denoise", 1, 4)
    (shown,) = terminal.screen
    assert shown == f"denoise {'█' * 6}{'░' * 18} 1/4 3:00 left"
    line.close()
    assert terminal.screen == [""]


def test_a_line_that_stays_is_put_above_the_one_that_is_drawn_over():
    terminal = Terminal()
    line = ProgressLine(terminal)
    line.show("working")
    line.say("one is done")
    assert terminal.screen == ["one is done", "working"]


def test_a_line_never_wraps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    terminal = Terminal()
    ProgressLine(terminal).show("一二三四五六")
    assert terminal.screen == ["一二三四"]


def test_elsewhere_long_work_is_a_few_plain_lines():
    log = io.StringIO()
    with ProgressLine(log) as line:
        for step in range(41):
            line.update("denoise", step, 40)
        for step in range(3):
            line.update("refine", step, 2)
    assert log.getvalue().splitlines() == [
        *("denoise 10/40", "denoise 20/40", "denoise 30/40", "denoise 40/40"),
        *("refine 1/2", "refine 2/2"),
    ]


def test_a_quiet_line_writes_nothing_even_on_a_terminal():
    terminal = Terminal()
    with ProgressLine(terminal, quiet=True) as line:
        line.update("denoise", 1, 2)
        line.show("working")
        line.say("done")
    assert terminal.getvalue() == ""


def test_a_terminal_without_unicode_gets_a_bar_of_other_signs(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(Terminal, "encoding", "ascii")
    terminal = Terminal()
    ProgressLine(terminal).update("denoise", 1, 2)
    assert "#" * 12 + "." * 12 in terminal.screen[0]
