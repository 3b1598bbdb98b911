"""Topic patterns, good, bad and hostile, by kind, each with what has to come of it."""

from dataclasses import dataclass
from typing import Any

FIELDS: dict[str, Any] = {
    "DevEUI": "70b3d50000000001",
    "FPort": 7,
    "FCntUp": 0,
    "Late": False,
    "ADRbit": True,
    "LrrSNR": -1.5,
    "Small": 1e-05,
    "Whole": 5.0,
    "Huge": 10**20,
    "Empty": "",
    "Nothing": None,
    "CustomerID": "4711",
    "Site": "groß/höhe",
    "Long": "x" * 300,
    "Endless": float("inf"),
    "Half": "\ud83d",
    "CustomerData": {
        "name": "Pump 3",
        "tags": ["Lyon:1", "Paris:Nord|Est", "Paris:Sud", "it's {new}"],
        "a}b": "brace",
        "a.b": "dot",
        "a|b": "bar",
        "a]b": "bracket",
        'say "x"': "quotes",
        "it's": "apostrophe",
    },
    "Lrrs": {
        "Lrr": [
            {"Lrrid": "A1", "RSSI": -71, "Chain": 0},
            {"Lrrid": "B2", "RSSI": -50, "Chain": 1, "best": True},
            {"Lrrid": "C3", "RSSI": -90, "Chain": 0, "best": False},
        ]
    },
    "größe": "groß",
    "with-hyphen": "hyphen",
    "with_underscore": "underscore",
    "0": "zero",
}  # fmt: skip


@dataclass(frozen=True)
class Wrong:
    """Refused when it is saved: the place in the pattern, from 0, and words of the sentence."""

    position: int
    words: str


@dataclass(frozen=True)
class Fails:
    """Saved, but no key for this report; the reason of the failed message."""

    reason: str


UNRESOLVED, TOO_LONG = Fails("PATTERN_UNRESOLVED"), Fails("ROUTING_KEY_TOO_LONG")
Expected = str | Wrong | Fails

PATTERNS: dict[str, list[tuple[str, Expected]]] = {
    "no expression": [
        ("things", "things"),
        ("things.up", "things.up"),
        ("a..b", "a..b"),
        ("Gebäude.7", "Gebäude.7"),
        ("a|b['c'](d)$\"'", "a|b['c'](d)$\"'"),
        ("#.*", "#.*"),
        ("x" * 255, "x" * 255),
        ("x" * 256, TOO_LONG),
        ("é" * 128, TOO_LONG),
    ],
    "a name": [
        ("amqp.things.{DevEUI}.uplink", "amqp.things.70B3D50000000001.uplink"),
        ("{ DevEUI }", "70B3D50000000001"),
        ("{DevEUI}{FPort}", "70B3D500000000017"),
        ("{CustomerData.name}", "Pump 3"),
        ("{größe}", "groß"),
        ("{with-hyphen}.{with_underscore}", "hyphen.underscore"),
        ("{0}", "zero"),
        ("{deveui}", UNRESOLVED),
        ("{Missing}", UNRESOLVED),
        ("{DevEUI.x.y}", UNRESOLVED),
    ],
    "a path from the root": [
        ("{$.DevEUI}", "70B3D50000000001"),
        ("{$.CustomerData.name}", "Pump 3"),
        ("{$..Lrrid}", "A1"),
        ("{$.Lrrs.Lrr[*].Lrrid}", "A1"),
        ("{$.Lrrs.*[1].Lrrid}", "B2"),
        ("{$}", UNRESOLVED),
        ("{$.Lrrs}", UNRESOLVED),
        ("{$..nowhere}", UNRESOLVED),
    ],
    "brackets": [
        ("{$['DevEUI']}", "70B3D50000000001"),
        ('{$["DevEUI"]}', "70B3D50000000001"),
        ("{['CustomerData']['name']}", "Pump 3"),
        ("{CustomerData['name']}", "Pump 3"),
        ("{CustomerData.tags[0]}", "Lyon:1"),
        ("{CustomerData.tags[-1]}", "it's {new}"),
        ("{CustomerData.tags[1:3]}", "Paris:Nord|Est"),
        ("{CustomerData.tags[::-1]}", "it's {new}"),
        ("{CustomerData.tags[9]}", UNRESOLVED),
        ("{CustomerData.tags[-9]}", UNRESOLVED),
        ("{DevEUI[0]}", UNRESOLVED),
        ("{CustomerData['x','name']}", "Pump 3"),
    ],
    "quotes around what means something outside of them": [
        ("{CustomerData['a}b']}", "brace"),
        ("{CustomerData['a.b']}", "dot"),
        ("{CustomerData['a|b']}", "bar"),
        ("{CustomerData['a]b']}", "bracket"),
        ("{CustomerData['it\\'s']}", "apostrophe"),
        ('{CustomerData["it\'s"]}', "apostrophe"),
        ("{CustomerData['say \"x\"']}", "quotes"),
    ],
    "alternatives": [
        ("{CustomerData.name|DevEUI}", "Pump 3"),
        ("{Missing|DevEUI}", "70B3D50000000001"),
        ("{ Missing | Nothing | FPort }", "7"),
        ("{CustomerData|CustomerData.tags|Lrrs.Lrr[0].Lrrid}", "A1"),
        ("{Missing|$.Missing|['Missing']}", UNRESOLVED),
        ("{Half|DevEUI}", "70B3D50000000001"),
        ("{Endless|FPort}", "7"),
        ("{Missing|$..tags[?(@ =~ /Rome|Paris:S.*/)]|FPort}", "Paris:Sud"),
    ],
    "literals": [
        ("{CustomerData.name|DevEUI|'None'}", "Pump 3"),
        ("{Missing|'None'}", "None"),
        ("{'always'}", "always"),
        ("{Missing|''}", ""),
        ("{Missing|' a '}", " a "),
        ("{Missing|'it\\'s'}", "it's"),
        ("{Missing|'a | b } c { d'}", "a | b } c { d"),
        ("{Missing|'\\\\'}", "\\"),
        ("{Missing|'größe'}", "größe"),
    ],
    "values that are no text": [
        ("{FPort}.{FCntUp}", "7.0"),
        ("{Late}.{ADRbit}", "false.true"),
        ("{LrrSNR}.{Small}.{Whole}", "-1.5.1e-05.5.0"),
        ("{Huge}", "100000000000000000000"),
        ("a{Empty}b", "ab"),
        ("{Nothing}", UNRESOLVED),
        ("{Endless}", UNRESOLVED),
        ("{Half}", UNRESOLVED),
        ("{CustomerData}", UNRESOLVED),
        ("{CustomerData.tags}", UNRESOLVED),
    ],
    "keys that are too long": [
        ("{Long}", TOO_LONG),
        ("{Missing|Long|'short'}", TOO_LONG),
        ("x" * 240 + "{DevEUI}", TOO_LONG),
        ("{DevEUI}" * 16, TOO_LONG),
        ("{DevEUI}" * 15 + "x" * 15, "70B3D50000000001" * 15 + "x" * 15),
    ],
    "Jayway's filters": [
        ("{$..Lrr[?(@.RSSI > -60)].Lrrid}", "B2"),
        ("{$..Lrr[?(@.RSSI < -80)].Lrrid}", "C3"),
        ("{$..Lrr[?(@.best)].Lrrid}", "B2"),
        ("{$..Lrr[?(@.best == false)].Lrrid}", "C3"),
        ("{$..Lrr[?(@.Lrrid == 'B2')].RSSI}", "-50"),
        ('{$..Lrr[?(@.Lrrid == "C3" || @.Chain == 1)].Lrrid}', "B2"),
        ("{$..Lrr[?(@.Chain == 0 && @.RSSI < -80)].Lrrid}", "C3"),
        ("{$..Lrr[?(!(@.best))].Lrrid}", "A1"),
        ("{$..Lrr[?(@.Lrrid in ['C3', 'X'])].RSSI}", "-90"),
        ("{$..Lrr[?(@.RSSI > $.LrrSNR)].Lrrid}", UNRESOLVED),
        ("{$..Lrr[?@.RSSI >= -50].Lrrid}", "B2"),
        ("{$..tags[?(@ == 'it\\'s {new}')]}", "it's {new}"),
    ],
    "Jayway's regular expressions": [
        ("{$..CustomerData.tags[?(@ =~ /Paris:.*/)]}", "Paris:Nord|Est"),
        ("{$..tags[?(@ =~ /Rome:.*|Paris:S.*/)]}", "Paris:Sud"),
        ("{$..tags[?(@ =~ /paris:s.*/i)]}", "Paris:Sud"),
        ("{$..tags[?(@ =~ /Paris/)]|'the whole text must match'}", "the whole text must match"),
        ("{$..tags[?(@ =~ /[A-Z][a-z]{3}:\\d+/)]}", "Lyon:1"),
        ("{$..tags[?(@ =~ /.*\\{new\\}/)]}", "it's {new}"),
        ("{$..tags[?(@ =~ /.*'s.*/)]}", "it's {new}"),
        ("{$..tags[?(@ =~ /Paris:[^|]*[|]Est/)]}", "Paris:Nord|Est"),
        ("{$..Lrr[?(@.RSSI =~ /-7.*/)].Lrrid}", "A1"),
        ("{$..Lrr[?(@.best =~ /true/)].Lrrid}", "B2"),
        ("{$..tags[?(@=~/Lyon:1/)]}", "Lyon:1"),
    ],
    "functions of RFC 9535": [
        ("{$..tags[?search(@, 'Sud')]}", "Paris:Sud"),
        ("{$..tags[?match(@, 'Paris:S.*')]}", "Paris:Sud"),
        ("{$..tags[?match(@, 'Sud')]|'no'}", "no"),
        ("{$..tags[?length(@) == 6]}", "Lyon:1"),
        ("{$..Lrr[?count(@.*) == 4].Lrrid}", "B2"),
        ("{$..tags[?search(@, '(')]|'no'}", "no"),
    ],
    "braces that do not fit": [
        ("a.{DevEUI", Wrong(2, "not closed")),
        ("a.DevEUI}", Wrong(8, "without an opening")),
        ("{DevEUI}}", Wrong(8, "without an opening")),
        ("{{DevEUI}}", Wrong(1, "must stand in quotes")),
        ("{a{b}}", Wrong(2, "must stand in quotes")),
        ("{", Wrong(0, "not closed")),
        ("}", Wrong(0, "without an opening")),
        ("x.{A}.{B", Wrong(6, "not closed")),
    ],
    "expressions of nothing": [
        ("{}", Wrong(0, "expression is empty")),
        ("a.{ }", Wrong(2, "expression is empty")),
        ("{a|}", Wrong(2, "expression is empty")),
        ("{|a}", Wrong(0, "expression is empty")),
        ("{a||b}", Wrong(2, "expression is empty")),
    ],
    "quotes, brackets and literals that do not fit": [
        ("{a['b}", Wrong(3, "quote is not closed")),
        ('{a["b}', Wrong(3, "quote is not closed")),
        ("{a|'b}", Wrong(3, "quote is not closed")),
        ("{a]}", Wrong(2, "has no opening bracket")),
        ("{a[1)}", Wrong(4, "has no opening bracket")),
        ("{a[}", Wrong(3, "must stand in quotes")),
        ("{a[0}", Wrong(4, "must stand in quotes")),
        ("{'x'|a}", Wrong(1, "last alternative")),
        ("{a|'x'|b}", Wrong(3, "last alternative")),
        ("{a|'x' y}", Wrong(3, "after the literal")),
        ('{a|"x"}', Wrong(3, "single quotes")),
    ],
    "what is no JSONPath": [
        ("{a b}", Wrong(1, "not a JSONPath")),
        ("x.{ a b}", Wrong(4, "not a JSONPath")),
        ("{A|b c}", Wrong(3, "not a JSONPath")),
        ("{$.a[$.b]}", Wrong(1, "not a JSONPath")),
        ("{a..}", Wrong(1, "not a JSONPath")),
        ("{$.a[?(]}", Wrong(7, "has no opening bracket")),
        ("{$.a[?()]}", Wrong(1, "not a JSONPath")),
        ("{$.a[?(@ ==)]}", Wrong(1, "not a JSONPath")),
        ("{$.a[?nosuch(@)]}", Wrong(1, "not a JSONPath")),
        ("{a[1e999]}", Wrong(1, "not a JSONPath")),
        ("{a & b}", Wrong(1, r"use \| for alternatives")),
        ("{a}{$.b[?(_.c)]}", Wrong(4, "not a JSONPath")),
    ],
    "regular expressions that cannot be used": [
        ("{$.a[?(@ =~ /x)]}", Wrong(12, "regular expression is not closed")),
        ("x{$.a[?(@ =~ /(/)]}", Wrong(2, "regular expression cannot be used")),
        ("{$.a[?(@ =~ /[z-a]/)]}", Wrong(1, "regular expression cannot be used")),
        ("{$.a[?(@ =~ /(?=x)/)]}", Wrong(1, "regular expression cannot be used")),
        ("{$.a[?(@ =~ /(a)\\1/)]}", Wrong(1, "regular expression cannot be used")),
        ("{$.a[?(@ =~ /" + "x" * 257 + "/)]}", Wrong(1, "longer than 256")),
    ],
    "over a limit": [
        ("{" + "a" * 513 + "}", Wrong(0, "longer than 512")),
        ("xy{" + "a" * 513 + "}", Wrong(2, "longer than 512")),
        ("{$..a..b..c}", Wrong(1, "more than 2 times")),
        ("{x|$..a..b..c}", Wrong(3, "more than 2 times")),
        ("{$[?@.a][?@.b][?@.c][?@.d][?@.e]}", Wrong(1, "more than 4 filters")),
        ("{a[?(@ =~ /x/)]}" * 9, Wrong(7, "more than 8 regular")),
        ("{$" + "[?(" * 20 + "}", Wrong(20, "nested brackets")),
        ("{" + "[" * 13 + "}", Wrong(13, "nested brackets")),
    ],
    "characters that are none": [
        ("\ud800", Wrong(0, "surrogate")),
        ("things.{DevEUI}.\udfff", Wrong(0, "surrogate")),
        ("{\ud83d}", Wrong(0, "surrogate")),
    ],
}

HOSTILE: dict[str, list[str]] = {
    "regular expressions that backtrack": [
        "{$..[?(@ =~ /(a*)*b/)]}",
        "{$..[?(@ =~ /(a+)+$b/)]}",
        "{$..[?(@ =~ /(a|aa)+b/)]}",
        "{$..[?(@ =~ /(a|a?)+b/)]}",
        "{$..[?(@ =~ /(.*a){25}b/)]}",
        "{$..[?(@ =~ /^(([a-z])+.)+[A-Z]([a-z])+$/)]}",
        "{$..[?match(@, '(a*)*b')]}",
        "{$..[?search(@, '(x+x+)+y')]}",
    ],
    "regular expressions that are large": [
        "{$..[?(@ =~ /((a?){100}){9}(a{99}){9}b/)]}",
        "{$..[?(@ =~ /.*a.{0,200}b/)]}",
        "{$..[?(@ =~ /(a?){250}a{250}b/)]}",
        "{$..[?search(@[0], @[1])]}",
        "".join(f"{{$[?@ =~ /.{{1,9{i}}}.{{1,90}}/]}}" for i in range(8)),
    ],
    "descents and stars": [
        "{$..x}",
        "{$.*..*..y}",
        "{$..*..x}",
        "{$" + ".*" * 40 + ".x}",
        "{$" + "[*]" * 90 + "}",
        "{$[" + ",".join("*" * 200) + "][" + ",".join("*" * 50) + "].x}",
        "{" + "|".join(f"$..x{i}" for i in range(60)) + "}",
        "{$..[" + ",".join(f"'a{i}'" for i in range(80)) + "]}",
    ],
    "filters that multiply": [
        "{$..[?(@..x)]}",
        "{$..*[?(@ == $.b)]}",
        "{$..[?(@ in $.a)]}",
        "{$..[?($.a contains @)]}",
        "{$..[?(count($..*) > 1000000)]}",
        "{$..[?(@.*[?(@..x)])]}",
        "{$[?" + "!" * 400 + "@.a]}",
        "{$..[?(" + " && ".join(["@.a"] * 40) + ")]}",
        "{$..[?(" + " || ".join(["@.y"] * 60) + ")]}",
    ],
    "slices": [
        "{$" + "[::1]" * 90 + "}",
        "{$..[::-1]..x}",
        "{$.a[0:9999999:1].x}",
        "{$.a[-9999999:9999999:7].x}",
    ],
    "deep nesting": [
        "{$" + "[?(@" * 4 + ".x" + ")]" * 4 + "}",
        "{$..[?(" + "(" * 9 + "@.x" + ")" * 9 + ")]}",
        "{$" + ".a" * 250 + "}",
    ],
    "many parts": [
        "{b}" * 300,
        "{x|y}" * 200,
        "{" + "|".join(["b"] * 250) + "}",
    ],
}
"""Each is saved, and gives no key for any of the reports below."""


def _nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = [leaf]
    return leaf


def hostile_reports() -> dict[str, Any]:
    """Built on each call, because the reports are large."""
    return {
        "many numbers": {"a": list(range(60_000))},
        "many texts": {"a": ["a" * 30] * 8_000},
        "deep": {"a": _nested(58, list(range(40_000)))},
        "long texts": {"a": ["a" * 4096] * 60, "b": "a" * 200_000},
        "wide": {"k" * 10_000: {str(i): {str(i): 1} for i in range(8000)}},
    }
