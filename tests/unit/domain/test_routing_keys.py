"""Patterns give routing keys, and no pattern and no report keeps a function busy."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.routing_keys import compile_pattern, routing_key
from chalicelib.domain.topic_patterns import binding_key, dev_eui_word, expressions_with_dots
from chalicelib.errors import NotRoutable, PatternError, TooLong, Unresolved
from tests.timing import thread_seconds

FIELDS: dict[str, Any] = {
    "DevEUI": "70b3d50000000001",
    "FPort": 7,
    "Late": False,
    "ADRbit": True,
    "LrrSNR": -1.5,
    "Small": 1e-05,
    "Whole": 5.0,
    "Empty": "",
    "Blank": " ",
    "Nothing": None,
    "CustomerID": "4711",
    "CustomerData": {"name": "Pump 3", "tags": ["Lyon:1", "Paris:Nord|Est", "Paris:Sud"], "a}b": "brace"},
    "Lrrs": {"Lrr": [{"Lrrid": "A1", "RSSI": -71}, {"Lrrid": "B2", "RSSI": -50, "best": True}]},
    "größe": "groß",
}


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("things", "things"),
        ("things.{DevEUI}.up", "things.70B3D50000000001.up"),
        ("{$.DevEUI}-{$['DevEUI']}", "70B3D50000000001-70B3D50000000001"),
        ("{ DevEUI }", "70B3D50000000001"),
        ("{FPort}.{Late}.{ADRbit}.{LrrSNR}", "7.false.true.-1.5"),
        ("{Small}.{Whole}", "1e-05.5.0"),
        ("a{Empty}b", "ab"),
        ("{Empty|DevEUI}", "70B3D50000000001"),
        ("{Missing|$.Empty|Nothing|FPort|'None'}", "7"),
        ("{$..Empty|FPort}", "7"),
        ("{Empty|'None'}", "None"),
        ("a{Missing|Empty|Nothing}b", "ab"),
        ("{Blank|DevEUI}", " "),
        ("{CustomerData.name}", "Pump 3"),
        ("{CustomerData['name']}", "Pump 3"),
        ("{['CustomerData'].name}", "Pump 3"),
        ("{größe}", "groß"),
        ("{CustomerData.tags[0]}{CustomerData.tags[-1]}", "Lyon:1Paris:Sud"),
        ("{CustomerData['a}b']}", "brace"),
        ("{Nothing|Missing|CustomerData|Lrrs.Lrr|FPort}", "7"),
        ("{CustomerData.label|DevEUI|'None'}", "70B3D50000000001"),
        ("{CustomerData.label|Nothing|'None'}", "None"),
        ("{x|'it\\'s a | and a }'}", "it's a | and a }"),
        ("{x|''}", ""),
        ("{$..CustomerData.tags[?(@ =~ /Paris:.*/)]}", "Paris:Nord|Est"),
        ("{$..tags[?(@ =~ /Rome:.*|Paris:S.*/)]|'none'}", "Paris:Sud"),
        ("{$..tags[?(@ =~ /paris:s.*/i)]}", "Paris:Sud"),
        ("{$..tags[?(@ =~ /Paris/)]|'the whole text must match'}", "the whole text must match"),
        ("{$..tags[?(@ =~ /[A-Z][a-z]{3}:\\d+/)]}", "Lyon:1"),
        ("{$..Lrr[?(@.RSSI > -60)].Lrrid}", "B2"),
        ("{$..Lrr[?(@.RSSI =~ /-7.*/)].Lrrid}", "A1"),
        ("{$..Lrr[?(@.best)].Lrrid}", "B2"),
        ("{$..Lrr[?(@.Lrrid == 'B2' || @.Lrrid == \"C\")].RSSI}", "-50"),
        ("{$..Lrr[?(@.Lrrid in ['C', 'B2'])].RSSI}", "-50"),
        ("{$..Lrrid}", "A1"),
        ("{$.Lrrs.Lrr[*].Lrrid}", "A1"),
        ("{$.Lrrs.Lrr[1:].Lrrid}", "B2"),
        ("{$..tags[?search(@, 'Sud')]}", "Paris:Sud"),
        ("{$..tags[?match(@, 'Sud')]|'no'}", "no"),
    ],
)
def test_a_pattern_gives_its_key(pattern: str, key: str) -> None:
    assert routing_key(pattern, FIELDS) == key


@pytest.mark.parametrize(
    "pattern",
    [
        "{Missing}",
        "{Nothing}",
        "{CustomerData}",
        "{CustomerData.tags}",
        "{$}",
        "{$..tags}",
        "{CustomerData.tags[9]}",
        "{DevEUI.x}",
        "{DevEUI[0]}",
        "{FPort.x}",
        "{$..[?typeof(@) == 'x']}",
    ],
)
def test_what_is_no_single_value_does_not_resolve(pattern: str) -> None:
    with pytest.raises(Unresolved) as caught:
        routing_key(pattern, FIELDS)
    assert caught.value.reason == "PATTERN_UNRESOLVED"


@pytest.mark.parametrize("value", ["\ud800", float("inf"), float("nan")])
def test_what_no_key_can_carry_does_not_resolve(value: Any) -> None:
    assert routing_key("{a|'other'}", {"a": value}) == "other"


def test_a_key_has_at_most_255_bytes() -> None:
    assert routing_key("{a}", {"a": "é" * 127 + "x"}) == "é" * 127 + "x"
    with pytest.raises(TooLong) as caught:
        routing_key("{a}", {"a": "é" * 128})
    assert caught.value.reason == "ROUTING_KEY_TOO_LONG"


@pytest.mark.parametrize(
    ("pattern", "position", "words"),
    [
        ("a.{DevEUI", 2, "not closed"),
        ("a.DevEUI}", 8, "without an opening"),
        ("{}", 0, "expression is empty"),
        ("{a|}", 2, "expression is empty"),
        ("{a||b}", 2, "expression is empty"),
        ("{'x'|a}", 1, "last alternative"),
        ("{a|'x' y}", 3, "after the literal"),
        ('{a|"x"}', 3, "single quotes"),
        ("{a['b}", 3, "quote is not closed"),
        ("{a]}", 2, "has no opening bracket"),
        ("{a[}", 3, "must stand in quotes"),
        ("{a[1)}", 4, "has no opening bracket"),
        ("{a{b}}", 2, "must stand in quotes"),
        ("{$.a[?(@ =~ /x)]}", 12, "regular expression is not closed"),
        ("x{$.a[?(@ =~ /(/)]}", 2, "regular expression cannot be used"),
        ("{$.a[?(@ =~ /((a{500}){500}){500}/)]}", 1, "regular expression cannot be used"),
        ("{$.a[?(@ =~ /" + "x" * 257 + "/)]}", 1, "longer than 256"),
        ("{a b}", 1, "not a JSONPath"),
        ("{a & b}", 1, "use | for alternatives"),
        ("{$.a[$.b]}", 1, "not a JSONPath"),
        ("{a[1e999]}", 1, "not a JSONPath"),
        ("{$[?(@ > 1e999)]}", 1, "not a JSONPath"),
        ("{" + "a" * 513 + "}", 0, "longer than 512"),
        ("{$..a..b..c}", 1, "more than 2 times"),
        ("{$[?@.a][?@.b][?@.c][?@.d][?@.e]}", 1, "more than 4 filters"),
        ("{a[?(@ =~ /x/)]}" * 9, 7, "more than 8 regular"),
        ("{$" + "[?(" * 20 + "}", 20, "nested brackets"),
        ("\ud800", 0, "surrogate"),
    ],
)
def test_a_wrong_pattern_says_where_and_what(pattern: str, position: int, words: str) -> None:
    with pytest.raises(PatternError, match=words) as caught:
        compile_pattern(pattern)
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("things.{DevEUI}.down", "things.*.down"),
        ("{CustomerData.name}.x-{DevEUI}-y.#", "*.*.#"),
        ("a..{DevEUI}", "a..*"),
        ("down", "down"),
        ("{$..tags[?(@ =~ /a.b/)]}", "*"),
    ],
)
def test_a_binding_has_a_star_for_each_word_with_an_expression(pattern: str, key: str) -> None:
    assert binding_key(pattern) == key


def test_overlapping_texts_around_the_device_do_not_fit() -> None:
    assert dev_eui_word("ab{DevEUI}bc", "abc") is None


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = [leaf]
    return leaf


HOSTILE_REPORTS: dict[str, Any] = {
    "many numbers": {"a": list(range(60_000))},
    "many texts": {"a": ["x" * 10] * 20_000},
    "deep": {"a": nested(58, list(range(40_000)))},
    "equal objects": {"a": json.loads(json.dumps([[list(range(100))] * 60] * 10)), "b": [list(range(100))] * 60},
    "long texts": {"a": ["a" * 4096] * 60, "b": "a" * 200_000},
    "long names": {"k" * 100_000: {str(i): {str(i): 1} for i in range(8000)}},
    "expressions": {"a": [["a" * 100, f"(x{{1,30}}a?){{0,{i}}}"] for i in range(1, 3000)]},
}
HOSTILE_PATTERNS = [
    "{$..x}",
    "{$..*..*}",
    "{$..[?(@..x)]}",
    "{$..*[?(@ == $.b)]}",
    "{$..[?(@ =~ /(a*)*b/)]}",
    "{$..[?(@ =~ /((a?){100}){9}(a{99}){9}b/)]}",
    "{$..[?(@ =~ /.*a.{0,200}b/)]}",
    "{" + "|".join(f"$..[?(@ =~ /((a?){{{i}}}){{9}}b/)]" for i in range(90, 98)) + "}",
    "{" + "|".join(f"$..x{i}" for i in range(60)) + "}",
    "{$..[?search(@[0], @[1])]}",
    "{$..[?(@ in $.a)]}",
    "{$..[?($.a contains @)]}",
    "{$..[?(count($..*) > 1000000)]}",
    "{$[" + ",".join("*" * 200) + "][" + ",".join("*" * 50) + "]}",
    "{$" + "[::1]" * 90 + "}",
    "{$..[" + ",".join(f"'a{i}'" for i in range(80)) + "]}",
    "{$[?" + "!" * 400 + "@.a]}",
    "{b}" * 300,
]


@pytest.mark.parametrize("report", HOSTILE_REPORTS)
@pytest.mark.parametrize("pattern", HOSTILE_PATTERNS)
def test_a_hostile_pattern_on_a_hostile_report_ends_within_50_milliseconds(pattern: str, report: str) -> None:
    compiled = compile_pattern(pattern)
    fields = HOSTILE_REPORTS[report]
    spent: list[float] = []
    for _ in range(3):
        with thread_seconds(spent), pytest.raises(NotRoutable):
            compiled.key(fields)
    assert min(spent) < 0.05


def test_compiling_the_costliest_regular_expressions_takes_less_than_a_fifth_of_a_second() -> None:
    compile_pattern("{$..x}")  # imports the library
    spent: list[float] = []
    for attempt in range(3):
        pattern = "".join(f"{{$[?@ =~ /.{{1,9{i}{attempt}}}.{{1,90}}/]}}" for i in range(8))
        with thread_seconds(spent):
            compile_pattern(pattern)
    assert min(spent) < 0.2


def test_names_alone_need_no_jsonpath_library() -> None:
    program = (
        "import sys; from chalicelib.domain.routing_keys import routing_key; "
        "routing_key(\"a.{DevEUI|x['y'].z|'n'}\", {}); "
        "print([name for name in ('jsonpath', 're2') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@given(st.text(alphabet="{}|$.@[]()?*'\"/=~<&!\\ ab0,:#_^-", max_size=40))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    try:
        assert isinstance(compiled.key({"a": {"b": 1}, "b": ["a"]}), str)
    except NotRoutable:
        return


@given(st.text(alphabet="ab$.@[]()?*'/=~<&! 01,:#_^-", max_size=30), st.text(alphabet="ab$.@[]?*'=!1,:#", max_size=10))
def test_any_path_is_compiled_or_refused(inner: str, tail: str) -> None:
    pattern = "{$..a[?(" + inner + ")]" + tail + "}"
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    try:
        assert isinstance(compiled.key({"a": {"b": 1}, "b": ["a"]}), str)
    except NotRoutable:
        return


@pytest.mark.parametrize(
    ("pattern", "expressions"),
    [
        ("a.b", []),
        ("things.{DevEUI}.{FPort}.{FCntUp}", []),
        ("{$.DevEUI|$['CustomerID']|'none'}", []),
        ("site.{CustomerData.name}.uplink", ["CustomerData.name"]),
        ("{DevEUI}.{ CustomerData.name | DevEUI }.{LrrSNR}", [" CustomerData.name | DevEUI ", "LrrSNR"]),
        ("{CustomerData.DevEUI}", ["CustomerData.DevEUI"]),
        ("{$..DevEUI}", ["$..DevEUI"]),
        ("{Time}", ["Time"]),
        ("{DevEUI|'no.device'}", ["DevEUI|'no.device'"]),
    ],
)
def test_expressions_whose_value_may_hold_dots_are_found(pattern: str, expressions: list[str]) -> None:
    assert expressions_with_dots(pattern) == expressions
