"""Scenario files: what they say, and what is said where they are wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import project, scenario
from harness.verdict import RunEnded, Verdict

GOOD = 'description = "It works."\n'


def write(directory: Path, text: str | bytes, name: str = "one.toml") -> Path:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def complaint(directory: Path, text: str | bytes) -> str:
    path = write(directory, text)
    with pytest.raises(RunEnded) as caught:
        scenario.load(path)
    assert caught.value.verdict is Verdict.BAD_USAGE
    sentence = caught.value.sentence
    assert sentence.startswith(str(path))
    return sentence.removeprefix(str(path))


def test_a_file_says_everything_that_a_scenario_is(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        description = "Two guests."
        tags = ["a", "b"]
        requires = ["vmx"]
        engines = ["bochs"]
        cpu = "penryn"
        timeout = 2.5
        memory = 64
        mips = 20
        append = "debug=panic"
        verdict = "panic"
        forbid = ["oops"]
        allow = ["crash"]
        [[guest]]
        image = "hello"
        options = { memory = "4M", cpus = 2 }
        [[guest]]
        image = "./other.bin"
        name = "second"
        [[expect]]
        console = "Hello"
        [[expect]]
        record = "report"
        where = { passed = true }
        """,
    )
    one = scenario.load(path)
    assert one.name == "one"
    assert (one.timeout, one.memory, one.cpu, one.append) == (2.5, 64, "penryn", "debug=panic")
    assert one.mips == 20
    assert one.verdict is Verdict.PANIC
    assert (one.tags, one.requires, one.engines) == (("a", "b"), ("vmx",), ("bochs",))
    assert (one.forbid, one.allow) == (("oops",), ("crash",))
    first, second = one.guests
    assert first.path == project.guest("hello")
    assert first.module_string == "hello.bin name=hello memory=4M cpus=2"
    assert second.path == tmp_path / "other.bin"
    assert second.name == "second"
    assert [e.console for e in one.expectations] == ["Hello", None]
    assert one.expectations[1].where == {"passed": True}


def test_an_option_with_a_blank_in_it_is_quoted_in_the_module_string(tmp_path: Path) -> None:
    text = GOOD + '[[guest]]\nimage = "hello"\noptions = { cmdline = "a b" }\n'
    assert 'cmdline="a b"' in scenario.load(write(tmp_path, text)).guests[0].module_string


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("description = \n", ":1: invalid value"),
        ('description = "x"\ntags = [\n', ":2: "),
        (GOOD + "a = 1\na = 2\n", ":3: "),
        (b"description = '\xff'\n", ":1: this is not UTF-8 text"),
        ('tags = ["x"]\n', ": a scenario needs the key `description`"),
        (GOOD + "timout = 3\n", ":2: unknown key 'timout'; did you mean 'timeout'?"),
        (GOOD + "zzz = 3\n", ":2: unknown key 'zzz'; known: description"),
        (GOOD + "[[gest]]\nimage = 'x'\n", ":2: unknown key 'gest'; did you mean 'guest'?"),
        (GOOD + "[guest]\nimage = 'x'\n", ":2: `guest` must be written as [[guest]]"),
        (GOOD + "[[guest]]\n", ":2: [[guest]] needs the key `image`"),
        (
            GOOD + "[[guest]]\nimage = 'a'\n[[guest]]\nimage = 'b'\nnmae = 'c'\n",
            ":6: unknown key 'nmae' in [[guest]]; did you mean 'name'?",
        ),
        (
            GOOD + "[[guest]]\nimage = 'a'\n[[guest]]\nimage = 'a'\n",
            ":4: two guests are called 'a'; give one another `name`",
        ),
        (GOOD + "[[guest]]\nimage = 'a'\nname = 'a b'\n", ":4: 'a b' can't be a guest's name"),
        (
            GOOD + "[[guest]]\nimage = 'a'\noptions = {x = \"a\\nb\"}\n",
            ":4: `options` can't be told to the hypervisor",
        ),
        (
            GOOD + "[[guest]]\nimage = 'a'\noptions = {x = []}\n",
            ":4: `options.x` must be a string or a whole number, not a list",
        ),
        (GOOD + "timeout = '3'\n", ":2: `timeout` must be a number of seconds, not a string"),
        (GOOD + "timeout = true\n", ":2: `timeout` must be a number of seconds, not true or false"),
        (
            GOOD + "mips = 2.5\n",
            ":2: `mips` must be a whole number of million instructions a second",
        ),
        (GOOD + "mips = 5000\n", ":2: `mips` can be at most 1000"),
        (GOOD + "timeout = 0\n", ":2: `timeout` must be more than 0 and at most"),
        (GOOD + "timeout = nan\n", ":2: `timeout` must be more than 0 and at most"),
        (GOOD + "memory = 1.5\n", ":2: `memory` must be a whole number of MiB, not a number"),
        (GOOD + "tags = 'a'\n", ":2: `tags` must be a list of strings, not a string"),
        (GOOD + "tags = [1]\n", ":2: `tags` must be a list of strings"),
        (GOOD + "verdict = 'panics'\n", ":2: `verdict` can't be 'panics'; did you mean 'panic'?"),
        (GOOD + "allow = ['panik']\n", ":2: `allow` can't be 'panik'; did you mean 'panic'?"),
        (GOOD + "forbid = ['(']\n", ":2: `forbid` is not a regular expression: missing )"),
        (GOOD + "[[expect]]\nconsole = '['\n", ":3: `console` is not a regular expression"),
        (GOOD + "[[expect]]\n", ":2: an [[expect]] needs exactly one of `console` and `record`"),
        (
            GOOD + "[[expect]]\nconsole = 'a'\nrecord = 'b'\n",
            ":2: an [[expect]] needs exactly one of",
        ),
        (
            GOOD + "[[expect]]\nconsole = 'a'\nwhere = {}\n",
            ":4: `where` belongs to a `record`",
        ),
        (
            GOOD + "[[expect]]\nrecord = 'a'\nwhere = 1\n",
            ":4: `where` must be a table of values, not a number",
        ),
    ],
    ids=str,
)
def test_a_wrong_file_is_named_with_its_line_and_what_is_wrong(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    assert complaint(tmp_path, text).startswith(said)


def test_a_missing_file_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(RunEnded, match="there is no scenario file"):
        scenario.load(tmp_path / "none.toml")


def test_what_is_no_file_is_bad_usage_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(RunEnded, match="it is no file"):
        scenario.load(tmp_path / "pipe.toml")


def test_nesting_without_end_is_bad_usage(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(f"tags = {'[' * 100_000}")
    with pytest.raises(RunEnded, match=r"deep\.toml: .* nested too deep"):
        scenario.load(path)


def test_an_unknown_name_gets_the_nearest_one_suggested() -> None:
    with pytest.raises(RunEnded, match="there is no scenario 'helo'; did you mean 'hello'"):
        scenario.find("helo")


def test_a_name_like_no_other_is_sent_to_the_list() -> None:
    with pytest.raises(RunEnded, match="`hv list` shows"):
        scenario.find("qqqqqqqqqq")


@pytest.mark.parametrize("path", scenario.paths(), ids=lambda path: path.stem)
def test_every_scenario_of_the_project_is_well_formed(path: Path) -> None:
    assert scenario.load(path).description.endswith(".")


MODEL = """
description = "A model."
[[guest]]
image = "kernel"
boot = "linux"
cmdline = "console=ttyS0"
append = "one=1"
initrd = "disk.cpio"
options = { memory = "64M", mode = "long" }
"""


def test_a_guest_can_be_like_another_scenarios_in_all_that_it_does_not_say(tmp_path: Path) -> None:
    write(tmp_path, MODEL, "model.toml")
    path = write(
        tmp_path,
        GOOD
        + """
        [[guest]]
        like = "model"
        [[guest]]
        like = "model"
        name = "other"
        append = "two=2"
        options = { memory = "8M" }
        """,
    )
    first, other = scenario.load(path).guests
    assert (first.name, first.boot, first.cmdline) == ("kernel", "linux", "console=ttyS0 one=1")
    assert other.cmdline == "console=ttyS0 two=2"
    assert other.initrd == first.initrd
    assert dict(other.options) == {"memory": "8M", "mode": "long"}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("../model", "`like` can't be '../model'"),
        ("chain", "scenario 'chain' has no [[guest]] first that could be a model"),
        ("empty", "scenario 'empty' has no [[guest]] first that could be a model"),
    ],
)
def test_a_guest_can_not_be_like_what_is_no_model(tmp_path: Path, model: str, words: str) -> None:
    write(tmp_path, GOOD + '[[guest]]\nlike = "model"\n', "chain.toml")
    write(tmp_path, GOOD, "empty.toml")
    assert words in complaint(tmp_path, GOOD + f'[[guest]]\nlike = "{model}"\n')


def test_a_guest_like_one_of_a_scenario_that_is_not_there_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + '[[guest]]\nlike = "missing"\n')
    with pytest.raises(RunEnded, match=r"there is no scenario file .*missing\.toml"):
        scenario.load(path)


def test_what_is_slow_or_endless_says_so(tmp_path: Path) -> None:
    plain = scenario.load(write(tmp_path, GOOD))
    assert (plain.slow, plain.endless) == ("", False)
    said = scenario.load(write(tmp_path, GOOD + 'slow = "it boots a lot"\nendless = true\n'))
    assert (said.slow, said.endless) == ("it boots a lot", True)
    assert "`endless` must be true or false" in complaint(tmp_path, GOOD + 'endless = "no"\n')
