"""A file of settings is parsed first and filled afterwards: a value stays one value."""

import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from devise import yamlfile
from devise.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def parse(text, *overrides):
        path = tmp_path / "conf.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return yamlfile.read(path, overrides)

    return parse


@pytest.mark.parametrize(
    "value", ["/tmp/a #2", "a: b", "C:\\new", "[x", "{a: 1}", "- a", "*a", "'", "a\n\nb", "${W}", "!x"]
)
@pytest.mark.parametrize(
    "text", ["w: ${W}", "w: '${W}'", 'w: "${W}"', "{w: ${W}}", "w: ${W} # ${NOPE}", "w: ${NO:-${W}}"]
)
def test_a_value_from_the_environment_stays_one_value(read, monkeypatch, value, text):
    monkeypatch.setenv("W", value)
    if "NO:-" in text:
        with pytest.raises(ConfigError, match=r"line 1: found \$\{NO:-"):
            read(text)
    else:
        assert read(text) == {"w": value}


def test_within_a_text_it_is_put_in_its_place(read, monkeypatch):
    monkeypatch.setenv("W", "a, b]: #")
    assert read("w: [s3://${W}/x, ${W}${W}]") == {"w": ["s3://a, b]: #/x", "a, b]: #" * 2]}
    assert read("w: |\n  one ${W}\n  two") == {"w": "one a, b]: #\ntwo"}


def test_the_default_is_for_what_is_not_set_or_empty(read, monkeypatch):
    monkeypatch.setenv("EMPTY", "")
    assert read("w: [${EMPTY:-a: b}, ${NO_SUCH_ONE:-c #d}, x${EMPTY}y]") == {"w": ["a: b", "c #d", "xy"]}


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("${D}", '["a b", "c, d", 007]', ["a b", "c, d", "007"]),
        ("${D}", json.dumps(["café", "🦢"]), ["café", "🦢"]),
        ("${D}", "[]", []),
        ("${D}", "", None),
        ("${D}", "7", "7"),
        ("${D}", "null", "null"),
        ("'${D}'", "[a]", "[a]"),
        ("'${D}'", "", ""),
        ("x${D}", "[a]", "x[a]"),
        ("${D}", "[a, [b]]", "[a, [b]]"),
        ("${D}", "[a: b]", "[a: b]"),
        ("${D}", "[a] # [b]", "[a] # [b]"),
        ("${D}", "[a] + [b]", "[a] + [b]"),
    ],
)
def test_a_scalar_that_is_one_variable_alone_may_be_a_list_of_texts(read, monkeypatch, text, value, found):
    monkeypatch.setenv("D", value)
    assert read(f"d: {text}") == {"d": found}


@pytest.mark.parametrize("text", ["$W", "a$W/b", "${W", "${W-1}", "${W:=1}", "${1}", "${}", "${W:-${V}}"])
def test_another_syntax_of_variables_is_refused(read, text):
    with pytest.raises(ConfigError, match=r"line 2: found \$"):
        read(f"# $W and ${{NOPE}} in a comment\nw: '{text}'")


def test_a_dollar_may_be_meant(read, monkeypatch):
    monkeypatch.setenv("W", "$$V $V")
    assert read("w: US$ 5 $$W $${W} $ ${W}") == {"w": "US$ 5 $W ${W} $ $$V $V"}


def test_no_letter_of_the_file_stands_for_a_variable(read, monkeypatch):
    monkeypatch.setenv("W", "x")
    mark, written = "\ue0000\ue000", "\\ue0000\\ue000"
    assert read(f'a: ${{W}}\nb: "{written}"\nc: {mark}') == {"a": "x", "b": mark, "c": mark}


def test_a_variable_that_is_not_set_is_named_with_its_line(read):
    with pytest.raises(ConfigError, match=r"conf.yaml, line 2: \$\{NO_SUCH_ONE\} is not set in the environment"):
        read("a: 1\nw: ${NO_SUCH_ONE}")


def test_a_variable_that_is_no_unicode_is_refused(read, monkeypatch):
    monkeypatch.setenv("W", "caf\udce9")
    with pytest.raises(ConfigError, match="wanted Unicode text"):
        read("w: ${W}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {x: 1}\nb: 2\na: {x: 1}", "line 3: 'a' stands twice"),
        ("a: {x: 1, y: 2, x: 1}", "line 1: 'x' stands twice"),
        ("'1': 2\n1: 2", "line 2: '1' stands twice"),
        ("a: [{x: 1,\n 'x': 2}]", "line 2: 'x' stands twice"),
        ("? [a]\n: 1", "a key that is no plain text"),
        ("${HOME}: 1", "a key that is no plain text"),
        ("a: !!timestamp 2026-02-30", "not YAML: "),
        ("a: !!int x", "wanted what its tag"),
        ("a: !!python/name:os.system x", "not YAML: "),
        ('a: "\\ud800"', "wanted Unicode text"),
        ('a: "\\0"', "without NUL"),
        ("[" * 5000, "not YAML that can be read"),
        ("a: 1\n---\nb: 1", "not YAML: "),
        ("a: *b${HOME}", "not YAML: "),
        (b"\xff\xfea\x00", "cannot read the configuration"),
        ("", "found NoneType"),
    ],
)
def test_what_is_refused_is_one_line(read, text, words):
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert words in str(refused.value) and "conf.yaml" in str(refused.value) and "\n" not in str(refused.value)


def test_scalars_are_those_of_json_and_all_else_is_text(read):
    written = "[no, yes, on, 2026-02-28, 2026-02-30, 010, 0x1f, 1:30, 1_000, =, 12e, .inf, .nan, e5, .]"
    assert read(f"a: {written}") == {"a": written.strip("[]").split(", ")}
    assert read("a: [0, -7, +1.5, .5, 1e3, true, False, null, ~, ]") == {
        "a": [0, -7, 1.5, 0.5, 1000.0, True, False, None, None]
    }
    assert read("no: {2026-02-30: 1, 7: 2}") == {"no": {"2026-02-30": 1, "7": 2}}


def test_another_mapping_s_keys_may_be_taken_over(read):
    assert read("a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b}\nd: {e: {<<: *b, y: 3}}") == {
        **{"a": {"x": 1, "y": 1}, "b": {"x": 2, "y": 1}, "c": {"x": 2, "y": 1}, "d": {"e": {"x": 2, "y": 3}}},
    }


def test_a_byte_order_mark_is_no_key(read):
    assert read(b"\xef\xbb\xbfa: 1") == {"a": 1}


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("w=/tmp/a #2", "/tmp/a #2"),
        ("w=#2", "#2"),
        ("w='/tmp/a' # b", "/tmp/a"),
        ("w=[a, b]", ["a", "b"]),
        ("w=3", 3),
        ("w=", None),
        ("w=&x", "&x"),
        ("w=${W}/x", "a: b/x"),
        ("w={a: 1}", {"a": 1}),
    ],
)
def test_an_override_that_is_a_text_is_taken_to_the_letter(read, monkeypatch, override, found):
    monkeypatch.setenv("W", "a: b")
    assert read("a: 1", override) == {"a": 1, "w": found}


def test_an_override_reaches_below_null_and_alters_one_place(read):
    assert read("a:", "a.b.c=1") == {"a": {"b": {"c": 1}}}
    assert read("a: {b: null}", "a.b.c=1", "a.b.d=2") == {"a": {"b": {"c": 1, "d": 2}}}
    assert read("a: &a {b: {c: 1}}\nd: *a", "a.b.c=2") == {"a": {"b": {"c": 2}}, "d": {"b": {"c": 1}}}
    with pytest.raises(ConfigError, match="--set a.b=1: a is a value, not a section"):
        read("a: 0", "a.b=1")


WORDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


@given(WORDS)
@example("[a] ")
def test_any_value_comes_through_as_it_is(value):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamlfile.os, "environ", {"W": value})
        for text in ("'${W}'", '"${W}"', "x${W}y"):
            assert yamlfile._parse(text, "here") == (f"x{value}y" if text[0] == "x" else value)
        found = yamlfile._parse("${W}", "here")
        assert found == (value or None) or (value[0] + value[-1] == "[]" and all(type(one) is str for one in found))


@given(st.one_of(st.text(), st.text("[]{}:,#&*!|>'\"%@`$ \n-?<ab1.\\", max_size=40)))
def test_any_text_is_read_or_is_one_line(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamlfile.os, "environ", {})
        try:
            found = yamlfile._parse(text, "here")
        except ConfigError as refused:
            assert "\n" not in str(refused)
        else:
            yaml.safe_dump(found)  # what the settings are made of: texts, numbers, lists and mappings


KEYS = WORDS.filter(lambda text: "$" not in text and len(json.dumps(text)) < 1000)
"""YAML 1.2 (https://yaml.org/spec/1.2.2/#742-flow-mappings) ends a key without a question mark at 1,024 characters."""


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False),
              WORDS.filter(lambda text: "$" not in text)),
    lambda below: st.one_of(st.lists(below), st.dictionaries(KEYS, below)),
))  # fmt: skip
def test_json_is_read_as_json(document):
    found = yamlfile._parse(json.dumps(document), "here")
    assert found == document and json.dumps(found) == json.dumps(document)
