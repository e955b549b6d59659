"""The log stream: prefixes, colours, lines out of bytes."""

from __future__ import annotations

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.stream import MAXIMUM_LINE_BYTES, Lines, Stream, wants_colour


class Terminal(io.StringIO):
    """Text that goes to a terminal."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, _text: str, /) -> int:
        """Refuse."""
        raise BrokenPipeError


def test_each_line_carries_the_name_of_its_process() -> None:
    output = io.StringIO()
    stream = Stream(output, colour=False)
    stream.line("api", "GET / 200")
    stream.line("consumer", "stored")
    assert output.getvalue() == "api      | GET / 200\nconsumer | stored\n"


def test_what_the_stack_says_is_cut_into_lines() -> None:
    output = io.StringIO()
    Stream(output, colour=False).say("one\n\ntwo")
    assert output.getvalue() == "stack    | one\nstack    | \nstack    | two\n"


def test_only_the_name_is_coloured() -> None:
    output = io.StringIO()
    Stream(output, colour=True).line("relay", "published")
    assert output.getvalue() == "\x1b[35mrelay    |\x1b[0m published\n"


@pytest.mark.parametrize(
    ("output", "environment", "wanted"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    output: io.StringIO, environment: dict[str, str], *, wanted: bool
) -> None:
    assert wants_colour(output, environment) is wanted


def test_a_terminal_that_went_away_stops_nothing() -> None:
    stream = Stream(Gone(), colour=False)
    stream.say("one")
    stream.say("two")


def test_lines_of_several_threads_do_not_mix() -> None:
    output = io.StringIO()
    stream = Stream(output, colour=False)

    def write(name: str) -> None:
        for _ in range(200):
            stream.line(name, "x" * 50)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("api", "relay", "kafka")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = output.getvalue().splitlines()
    assert len(lines) == 600
    assert {line[9:] for line in lines} == {"| " + "x" * 50}


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_lines_do_not_depend_on_how_the_bytes_arrive(chunks: list[bytes]) -> None:
    pieces, whole = Lines(), Lines()
    in_pieces = [line for chunk in chunks for line in pieces.feed(chunk)] + pieces.end()
    assert in_pieces == whole.feed(b"".join(chunks)) + whole.end()


def test_a_last_line_without_an_end_is_not_lost() -> None:
    lines = Lines()
    assert lines.feed(b"one\ntw") == ["one"]
    assert lines.feed(b"o") == []
    assert lines.end() == ["two"]
    assert lines.end() == []


def test_bytes_that_are_no_text_are_shown_as_replacements() -> None:
    assert Lines().feed(b"caf\xe9\r\n") == ["caf�"]


def test_a_line_that_was_rewritten_is_shown_as_it_ended() -> None:
    assert Lines().feed(b"10 %\r50 %\r100 %\n") == ["100 %"]


def test_an_endless_line_is_cut() -> None:
    lines = Lines()
    cut = lines.feed(b"x" * (MAXIMUM_LINE_BYTES + 5))
    assert [len(line) for line in cut] == [MAXIMUM_LINE_BYTES]
    assert lines.end() == ["xxxxx"]
