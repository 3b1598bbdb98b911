"""Hostile drivers: each costs its own message, and nothing else."""

import json

import pytest

from chalicelib.adapters.codec import engine
from chalicelib.adapters.codec.engine import ALTERED, OUT_OF_MEMORY, TIMED_OUT, Sandbox
from tests.unit.adapters.codec.cases import HARMLESS, decoder, failure, message, run

TIME = {
    "endless loop": "while (true) {}",
    "endless loop that catches everything": "for (;;) { try { for (;;) {} } catch (e) {} finally { for (;;) {} } }",
    "regex backtracking": "return { data: /(a+)+$/.test('a'.repeat(40) + '!') };",
    "endless getter": "return { data: { get a() { while (true) {} } } };",
    "endless toJSON": "return { data: { toJSON() { while (true) {} } } };",
    "endless generator": "for (const n of (function* () { while (true) yield 1; })()) {}",
    "endless text of an error": "throw { get message() { while (true) {} } };",
    "loop of a built-in function": "return { data: Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1) };",
    "proxy without an end": "return { data: new Proxy({}, { ownKeys() { while (true) {} } }) };",
}
MEMORY = {
    "spread of an endless generator": "return { data: [...(function* () { while (true) yield 1; })()].length };",
    "array without an end": "const all = []; while (true) all.push(new Array(1000).fill(1));",
    "string of 30 MB": "let s = 'x'; while (s.length < 1 << 25) s += s; return { data: [s + 'y', s + 'z'].join('') };",
    "large typed array": "return { data: new Uint8Array(64 << 20).length };",
}
RESULTS = {
    "recursion": ("return decodeUplink(input);", "call stack"),
    "deep result": ("let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; return { data: o };", "stack"),
    "string of 1 GB": ("return { data: 'x'.repeat(1 << 30) };", "invalid string length"),
    "result of 10 MB": ("return { data: 'x'.repeat(10 << 20) };", "10485762 characters"),
    "cycle": ("const o = {}; o.o = o; return { data: o };", "circular"),
    "BigInt": ("return { data: { a: 1n } };", "BigInt"),
    "NaN": ("return { data: { a: [0 / 0] } };", "NaN"),
    "infinity": ("return { data: { a: -1 / 0 } };", "-Infinity"),
    "throwing getter": ("return { data: { get a() { throw new Error('boo'); } } };", "boo"),
    "throwing text of an error": ("throw { get message() { throw 1; } };", "cannot be shown"),
    "throwing name": (
        "const e = new Error('x'); Object.defineProperty(e, 'name', { get() { throw 1; } }); throw e;",
        "",
    ),
    "unprintable value": ("throw Object.create(null);", ""),
    "file system": ("return { data: require('fs').readFileSync('/etc/passwd') };", 'require("fs")'),
    "import": ("return { data: import('os') };", ""),
}


@pytest.mark.parametrize("name", TIME)
def test_driver_that_never_ends_is_interrupted(name: str) -> None:
    assert failure(decoder(TIME[name])) == TIMED_OUT


@pytest.mark.parametrize("name", MEMORY)
def test_driver_that_takes_all_memory_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a slow machine, the memory takes longer than a message may.
    monkeypatch.setattr(engine, "MESSAGE_SECONDS", 10.0)
    sandbox = Sandbox(decoder(MEMORY[name]))
    answer = sandbox.run(message(HARMLESS))
    assert answer["failure"]["message"] == OUT_OF_MEMORY
    assert sandbox.spent


@pytest.mark.parametrize("name", RESULTS)
def test_result_that_is_no_json_is_an_error(name: str) -> None:
    body, expected = RESULTS[name]
    answer = run(decoder(body))
    if name == "import":
        # Nothing can be imported; the promise of it is an object without members.
        assert answer["data"] == "{}"
        return
    assert expected in answer["failure"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        "return { data: typeof constructor.constructor('return this')().process };",
        "return { data: typeof this.constructor.constructor('return typeof process')() };",
        "return { data: typeof globalThis.std + typeof globalThis.os + typeof process + typeof Deno };",
        "return { data: typeof fetch + typeof XMLHttpRequest + typeof Worker + typeof setTimeout };",
        "return { data: typeof performance + typeof Atomics + typeof SharedArrayBuffer };",
        "return { data: typeof WeakRef + typeof FinalizationRegistry + typeof queueMicrotask };",
    ],
)
def test_global_object_has_nothing_of_the_host(body: str) -> None:
    assert set(json.loads(run(decoder(body))["data"]).replace("undefined", "")) <= set("string")


def test_no_clock_is_finer_than_a_millisecond() -> None:
    body = "const t = []; for (let n = 0; n < 500; n++) t.push(Date.now(), +new Date()); return { data: t };"
    assert all(isinstance(moment, int) for moment in json.loads(run(decoder(body))["data"]))


STATE = {
    "variable of the driver": "let n = 0;" + decoder("n++; return { data: { n } };"),
    "undeclared variable": decoder("n = typeof n === 'undefined' ? 1 : n + 1; return { data: { n } };"),
    "property of the global object": decoder("globalThis.n = (globalThis.n || 0) + 1; return { data: { n } };"),
    "property of a prototype": decoder("const p = Array.prototype; p.n = (p.n || 0) + 1; return { data: { n: p.n } };"),
    "property of a built-in object": decoder("Math.n = (Math.n || 0) + 1; return { data: { n: Math.n } };"),
    "symbol on a prototype": decoder(
        "const s = Symbol.for('n'), p = Object.prototype; p[s] = (p[s] || 0) + 1; return { data: { n: p[s] } };"
    ),
    "replaced getter": decoder(
        "const n = /a/g.flags === 'g' ? 1 : 2;"
        "try { Object.defineProperty(RegExp.prototype, 'flags', { get() { return 'x'; } }); } catch {}"
        "return { data: { n } };"
    ),
    "tag of a built-in object": decoder(
        "const t = Symbol.toStringTag, n = (Number(Math[t]) || 0) + 1;"
        "try { Object.defineProperty(Math, t, { value: String(n) }); } catch {} return { data: { n } };"
    ),
    "property of Buffer": decoder("Buffer.n = (Buffer.n || 0) + 1; return { data: { n: Buffer.n } };"),
    "exports": decoder("exports.n = (exports.n || 0) + 1; return { data: { n: exports.n } };"),
    "context": decoder("context.push(1); return { data: { n: context.length } };"),
    "console": decoder("console.n = (console.n || 0) + 1; return { data: { n: console.n } };"),
    "name of a class": decoder(
        "const n = Array.name === 'Array' ? 1 : 2;"
        "try { Object.defineProperty(Array, 'name', { value: 'x' }); } catch {}"
        "return { data: { n } };"
    ),
    "attribute of a method": decoder(
        "const n = Object.getOwnPropertyDescriptor(Math, 'abs').writable ? 1 : 2;"
        "Object.defineProperty(Math, 'abs', { writable: false }); return { data: { n } };"
    ),
    "attribute that a class field sets": decoder(
        "class B { constructor() { return Math; } } class D extends B { abs = Math.abs; }"
        "const n = Math.propertyIsEnumerable('abs') ? 2 : 1; try { new D(); } catch {} return { data: { n } };"
    ),
    "deleted and restored method": decoder(
        "const n = Math.propertyIsEnumerable('abs') ? 2 : 1, f = Math.abs; delete Math.abs; Math.abs = f;"
        "return { data: { n } };"
    ),
    "frozen object": decoder(
        "const n = Object.isExtensible(JSON) ? 1 : 2; Object.preventExtensions(JSON); return { data: { n } };"
    ),
    "frozen object behind a proxy": decoder(
        "const n = Object.isFrozen(JSON) ? 2 : 1; Object.freeze(Proxy.revocable(JSON, {}).proxy);"
        "return { data: { n } };"
    ),
    "frozen global object": decoder(
        "const n = Object.isFrozen(globalThis) ? 2 : 1; Object.freeze(globalThis); return { data: { n } };"
    ),
    "place of errors": decoder(
        "const n = Error.prepareStackTrace ? 2 : 1; Error.prepareStackTrace = () => 1; return { data: { n } };"
    ),
    "function of the code": "const n = arguments.callee.n || 1; try { arguments.callee.n = 2; } catch {}"
    + decoder("return { data: { n } };"),
    "error of the surroundings": decoder(
        "try { require('x'); } catch (e) { const c = e.constructor, n = c.n || 1; c.n = 2; return { data: { n } }; }"
    ),
    "what a method is called with": "let n = 1; const all = [Array, Set, Map].flatMap((each) =>"
    "  Reflect.ownKeys(each.prototype).map((key) =>"
    "    [each.prototype, key, Object.getOwnPropertyDescriptor(each.prototype, key).value]))"
    "  .filter(([object, key, value]) => typeof value === 'function' && key !== 'constructor');"
    "const token = Math.random();"
    "for (const [object, key, value] of all) {"
    "  object[key] = function (...values) {"
    "    if (this.kept && this.kept !== token) n = 2;"
    "    try { this.kept = token; } catch {}"
    "    return Reflect.apply(value, this, values);"
    "  };"
    "}"
    + decoder("for (let at = 0; at < all.length; at++) all[at][0][all[at][1]] = all[at][2]; return { data: { n } };"),
    **{
        f"prototype of {name}": decoder(
            f"const p = Object.getPrototypeOf({name}), n = p.n || 1; try {{ p.n = 2; }} catch {{}}"
            "return { data: { n } };"
        )
        for name in (
            *("[].values()", "new Map().keys()", "new Set().values()", "''[Symbol.iterator]()", "'a'.matchAll(/a/g)"),
            *("(function* () {})()", "function* () {}", "(async function* () {})()", "async function () {}"),
            *("[].values().filter((x) => x)", "Object.getPrototypeOf([].values())", "new Float64Array(1)"),
            "Object.getPrototypeOf([].values()).constructor",
        )
    },
}


@pytest.mark.parametrize("name", STATE)
def test_no_state_is_kept_between_two_messages(name: str) -> None:
    code = STATE[name]
    sandbox = Sandbox(code)
    for _ in range(3):
        assert sandbox.run(message(code))["data"] == '{"n":1}'
        if sandbox.spent:
            sandbox = Sandbox(code)


@pytest.mark.parametrize(
    "body",
    [
        "String.prototype.twice = function () { return this + this; }; return { data: '1'.twice() };",
        "Array.prototype.last = () => '11'; Math.last = [].last; return { data: Math.last() };",
        "Object.defineProperty(Math, 'abs', { value: () => '11', configurable: true }); return { data: Math.abs() };",
        "function X() {} X.toString = () => '11'; return { data: `${X}` };",
        "Object.keys = Object.keys || null; return { data: '1' + Object.keys({ 1: 1 })[0] };",
        "class Mine extends Error { get name() { return '11'; } } return { data: new Mine().name };",
        "return { data: new Proxy({}, { get: () => '11' }).x };",
    ],
)
def test_driver_may_extend_built_in_objects_for_its_message(body: str) -> None:
    assert run(decoder(body))["data"] == '"11"'


def test_changed_method_does_not_reach_the_next_message() -> None:
    code = decoder("const f = [].map; f.n = 1; return { data: { n: f.n === undefined } };")
    sandbox = Sandbox(code)
    assert [sandbox.run(message(code))["data"] for _ in range(2)] == ['{"n":true}'] * 2


@pytest.mark.parametrize(
    "body",
    [
        "Object.prototype.toJSON = () => 'forged'; return { data: { a: 1 } };",
        "Object.defineProperty(Object.prototype, 'failure', { get() { throw 1; } }); return { data: { a: 1 } };",
        "JSON.stringify = () => 'forged'; String = Array = Object = null; return { data: { a: 1 } };",
        "Array.prototype.push = Array.prototype.map = () => { throw 1; }; return { data: { a: 1 } };",
        "Object.setPrototypeOf(Object.prototype.__proto__ || Array.prototype, null); return { data: { a: 1 } };",
    ],
)
def test_prototype_tricks_forge_no_answer(body: str) -> None:
    sandbox = Sandbox(decoder(body))
    answer = sandbox.run(message(HARMLESS))
    assert sandbox.spent
    assert answer.get("data") == '{"a":1}' or answer["failure"]["message"] == ALTERED


def test_error_of_a_driver_is_cut() -> None:
    assert len(failure(decoder("throw new Error('x'.repeat(1e6));"))) < 600


def test_console_keeps_a_bounded_number_of_short_lines() -> None:
    body = "for (let i = 0; i < 5000; i++) console.log('y'.repeat(5000)); return { data: 1 };"
    lines = run(decoder(body), console=True)["console"]
    assert (len(lines), max(map(len, lines))) == (100, 1003)
