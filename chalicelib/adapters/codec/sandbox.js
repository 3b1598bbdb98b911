// The surroundings of a driver in one context of the engine. Evaluates to a function of the class Buffer, which returns
// {load, run}: ``load(code)`` compiles a driver, and ``run(job)`` calls one of its functions with JSON and returns JSON.
//
// The driver's whole code runs again for each message, as the body of a function, so that its variables are new. What it
// may change beyond them, the built-in objects, is compared with its first state after each message. The context is not
// used again after a change: ``run`` then returns "spent": true.
//
// A driver may replace any method, so that it is called with what these surroundings pass to it. They call none on an
// object that outlives the message, because the driver could keep a value there.
(function (Buffer) {
  "use strict";

  const { stringify, parse } = JSON;
  const { ownKeys, getOwnPropertyDescriptor, getPrototypeOf, deleteProperty, apply } = Reflect;
  const { freeze, defineProperty, preventExtensions } = Object;
  const { isArray, from } = Array;
  const { isFinite } = Number;
  const { slice } = String.prototype;
  const { has } = Set.prototype;
  const [stringOf, SetOf, DateOf, FunctionOf, PromiseOf, BytesOf] = [String, Set, Date, Function, Promise, Uint8Array];
  const ProxyOf = Proxy;

  const MAX_RESULT = 256 * 1024, MAX_LINES = 100, MAX_TEXT = 1000, MAX_LIST = 20;
  const FUNCTIONS = [
    "decodeUplink", "decodeDownlink", "encodeDownlink", "Decoder", "Encoder", "Decode", "Encode",
  ];
  const PLACES = { __proto__: null };
  FUNCTIONS.forEach((name, place) => (PLACES[name] = place));
  const NAMES = {
    __proto__: null,
    ttn: { decodeUplink: "Decoder", encodeDownlink: "Encoder" },
    chirpstack: { decodeUplink: "Decode", encodeDownlink: "Encode" },
  };
  // It reads the names inside the driver's function, where its own variables hide the globals.
  const COLLECT =
    "\n;return [" + FUNCTIONS.map((name) => `typeof ${name}==="function"?${name}:undefined`).join() +
    ',typeof driver==="undefined"?undefined:driver,typeof exports==="undefined"?undefined:exports' +
    ',typeof module==="undefined"?undefined:module];';
  const LINES_BEFORE = 2;  // The engine writes them before the body of a function that is made of a text.

  // Clocks, memory that outlives a message, and what came after ES2020.
  const REMOVED = [
    "performance", "Atomics", "SharedArrayBuffer", "WeakRef", "FinalizationRegistry", "queueMicrotask", "DOMException",
    "DisposableStack", "AsyncDisposableStack", "SuppressedError", "AggregateError", "Iterator", "Float16Array",
  ];
  const removed = REMOVED.map((name) => globalThis[name]);  // code may still reach some by their prototypes
  for (const name of REMOVED) delete globalThis[name];

  // recvTime is a string, as the incumbent gives it. TS013 gives a Date, so the string answers to the methods of one.
  for (const name of ownKeys(DateOf.prototype)) {
    if (typeof name !== "string" || !/^(get|to(ISO|UTC|GMT|Date|Time|LocaleDate|LocaleTime))/.test(name)) continue;
    const method = DateOf.prototype[name];
    const { value } = { value(...values) { return apply(method, new DateOf(stringOf(this)), values); } };
    defineProperty(String.prototype, name, { value, writable: true, configurable: true });
  }

  // An error of these surroundings: it has no place in the driver.
  class Refusal extends Error {}

  const { require } = {
    require(name) {
      if (name === "buffer" || name === "node:buffer") return { Buffer };
      throw new Refusal(`require(${stringify(name)}) is not available to a driver; only "buffer" is.`);
    },
  };

  defineProperty(globalThis, "Buffer", { value: Buffer, writable: true, configurable: true });
  defineProperty(globalThis, "require", { value: require, writable: true, configurable: true });
  defineProperty(globalThis, "global", { value: globalThis, writable: true, configurable: true });
  const OWN = ["exports", "module", "console", "context"];  // new for each message
  for (const name of OWN) globalThis[name] = undefined;
  // The engine keeps the values of these two beyond the reach of a comparison.
  for (const name of ["prepareStackTrace", "stackTraceLimit"]) {
    delete Error[name];
    defineProperty(Error, name, { value: undefined, writable: true });
  }

  // The state of all built-in objects. Functions that are methods are frozen: nothing inherits from them. The properties of
  // the other objects cannot be configured, so that only their values can change; a driver may replace these. It may add
  // properties only to the objects that code for other engines extends, in PATCHED.

  const PATCHED = [
    Object, Function, Array, String, Number, Boolean, Symbol, BigInt, Date, RegExp, Error, Promise, Map, Set, ArrayBuffer,
    DataView, Uint8Array, Buffer,
  ];
  const HIDDEN = [
    [].values(), new Map().values(), new SetOf().values(), ""[Symbol.iterator](), "".matchAll(/a/g), (function* () {})(),
    (async function* () {})(), async function () {}, [].values().map((value) => value),
  ];
  let touched = false;  // whether the driver used a function that can change more of these objects than values and keys
  const seen = new SetOf([globalThis]);
  const note = (object) => { if (apply(has, seen, [object])) touched = true; };
  for (const owner of [Object, Reflect]) {
    for (const name of ["defineProperty", "defineProperties", "freeze", "seal", "preventExtensions", "setPrototypeOf"]) {
      const method = owner[name];
      if (method === undefined) continue;
      const { guarded } = {
        guarded(object, key, property) {
          note(object);
          // Code for other engines may define a method as configurable, which the existing one is not.
          if (touched && name === "defineProperty" && property && "value" in property) {
            const own = getOwnPropertyDescriptor(object, key);
            if (own && own.writable) property = { value: property.value };
          }
          return method(object, key, property);
        },
      };
      defineProperty(guarded, "name", { value: name });
      owner[name] = guarded;
    }
  }
  // A proxy would hide the object from the functions above.
  globalThis.Proxy = class Proxy {
    constructor(target, handler) { note(target); return new ProxyOf(target, handler); }
    static revocable(target, handler) { note(target); return ProxyOf.revocable(target, handler); }
  };

  const objects = [], names = [], values = [];  // of equal length, the latter two with arrays for each object
  const open = [], counts = [], parents = [];  // of equal length: the objects that may get properties
  const globals = { __proto__: null };
  for (const key of ownKeys(globalThis)) globals[key] = true;
  (function () {
    const patched = new SetOf([globalThis, Math, JSON]);
    for (const each of PATCHED) patched.add(each).add(each.prototype);
    const queue = [globalThis];
    const reach = (value) => {
      if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) return;
      seen.add(value);
      queue.push(value);
    };
    for (const each of [...HIDDEN.map(getPrototypeOf), Refusal, ...removed]) reach(each);
    while (queue.length) {
      const object = queue.pop(), own = ownKeys(object);
      const isMethod = typeof object === "function" && !own.includes("prototype") && !patched.has(object);
      reach(getPrototypeOf(object));
      if (isMethod) {
        // Most have a name and a length only.
        if (own.length > 2) for (const key of own) reach(object[key]);
        freeze(object);
        continue;
      }
      const changing = [], first = [];
      for (const key of own) {
        const property = getOwnPropertyDescriptor(object, key);
        reach(property.value);
        reach(property.get);
        reach(property.set);
        if (property.configurable) defineProperty(object, key, { configurable: false });
        if (!property.writable || (object === globalThis && OWN.includes(key))) continue;
        changing.push(key);
        first.push(property.value);
      }
      if (changing.length) {
        objects.push(object);
        names.push(changing);
        values.push(first);
      }
      if (patched.has(object)) {
        open.push(object);
        counts.push(own.length);
        parents.push(getPrototypeOf(object));
      } else preventExtensions(object);
    }
  })();

  function isChanged() {
    if (touched) return true;
    for (let at = 0; at < objects.length; at++) {
      const object = objects[at], keys = names[at], expected = values[at];
      for (let place = 0; place < keys.length; place++) if (object[keys[place]] !== expected[place]) return true;
    }
    for (let at = 0; at < open.length; at++) {
      if (ownKeys(open[at]).length !== counts[at] || getPrototypeOf(open[at]) !== parents[at]) return true;
    }
    return false;
  }

  function removeGlobals() {
    const keys = ownKeys(globalThis);
    for (let at = 0; at < keys.length; at++) if (!globals[keys[at]]) deleteProperty(globalThis, keys[at]);
    for (let at = 0; at < OWN.length; at++) globalThis[OWN[at]] = undefined;
  }

  // Texts

  function cut(text, most = MAX_TEXT) {
    return text.length > most ? apply(slice, text, [0, most]) + "..." : text;
  }

  function shown(value) {
    if (typeof value === "string") return cut(value);
    try {
      if (value instanceof Error) return describe(value).message;
      return cut((typeof value === "object" && stringify(value)) || stringOf(value));
    } catch { return "(a value that cannot be shown)"; }
  }

  function describe(error) {
    let message = "The driver threw a value that cannot be shown.", line = null, column = null;
    try {
      // The engine throws null when it has no memory for an error.
      if (error === null) message = "InternalError: out of memory";
      else if (error instanceof Error) {
        const { name, message: text, stack } = error;
        message = name === "Error" ? stringOf(text) : `${stringOf(name)}: ${stringOf(text)}`;
        const place = /<input>:(\d+):(\d+)/.exec(stringOf(stack));
        if (place && !(error instanceof Refusal) && !/^\s*at stringify \(native\)/.test(stack)) {
          line = place[1] - LINES_BEFORE;
          column = +place[2];
        }
      } else if (typeof error === "object" && typeof error.message === "string") {
        message = error.message;
      } else message = shown(error);
    } catch { /* a getter that throws: the sentence above stands */ }
    return { message: cut(message, 500), line, column };
  }

  function texts(list) {
    if (list === undefined || list === null) return [];
    const all = isArray(list) ? list : [list];
    const few = [];
    for (let at = 0; at < all.length && at < MAX_LIST; at++) few.push(shown(all[at]));
    return few;
  }

  function text(value, name) {
    const written = stringify(value, function (key, member) {
      if (typeof member === "number" && !isFinite(member)) {
        throw new Refusal(`${name}: the member ${stringify(key)} is ${member}, which JSON cannot express.`);
      }
      return member;
    });
    if (written === undefined) throw new Refusal(`The driver returned no ${name}.`);
    if (written.length > MAX_RESULT) {
      throw new Refusal(`The ${name} has ${written.length} characters of JSON; at most ${MAX_RESULT} are allowed.`);
    }
    return written;
  }

  // The driver

  let factory = null;

  function load(code) {
    try {
      // The driver reaches it as arguments.callee.
      factory = freeze(new FunctionOf(code + COLLECT));
      freeze(factory.prototype);
      return "";
    } catch (error) {
      const found = describe(error), lines = code.split("\n");
      if (found.line > lines.length) {
        found.message = "SyntaxError: the code ends before all of its brackets are closed";
        found.line = lines.length;
        found.column = lines[lines.length - 1].length + 1;
      }
      return stringify(found);
    }
  }

  function find(name) {
    const found = apply(factory, globalThis, []);
    const [driver, exported, module] = [found[FUNCTIONS.length], found[FUNCTIONS.length + 1], found[FUNCTIONS.length + 2]];
    const published = module === undefined || module === null ? undefined : module.exports;
    for (const place of [driver, published, exported]) {
      for (const owner of [place, place === undefined || place === null ? undefined : place.driver]) {
        if (owner !== undefined && owner !== null && typeof owner[name] === "function") {
          return (...values) => apply(owner[name], owner, values);
        }
      }
    }
    const own = found[PLACES[name]];
    if (own !== undefined) return (...values) => apply(own, globalThis, values);
    if (typeof globalThis[name] === "function") return globalThis[name];
    throw new Refusal(`The driver has no function ${name}. Define it, or choose another signature.`);
  }

  function bytesOf(hex) {
    const bytes = [];
    for (let at = 0; at + 1 < hex.length; at += 2) bytes.push(parseInt(hex.slice(at, at + 2), 16));
    return bytes;
  }

  function call(job) {
    const { signature, operation, input } = job;
    const name = signature in NAMES ? NAMES[signature][operation] : operation;
    if (name === undefined) throw new Refusal(`A driver with the signature ${signature} has no ${operation}.`);
    if (typeof input.bytes === "string" && signature !== "actility") input.bytes = bytesOf(input.bytes);
    globalThis.module = { exports: {} };
    globalThis.exports = globalThis.module.exports;
    globalThis.context = isArray(input.context) ? input.context : [];
    const run = find(name);
    switch (signature) {
      case "ttn":
        return operation === "decodeUplink" ? run(input.bytes, input.fPort) : run(input.data, input.fPort);
      case "chirpstack":
        if (operation === "decodeUplink") return run(input.fPort, input.bytes, input.variables || {});
        return run(input.fPort, input.data, input.variables || {});
      case "actility":
        return operation === "encodeDownlink" ? run(input.data) : run(input);
      default:
        return run(input);
    }
  }

  function outcome(job, result, answer) {
    const { signature, operation } = job;
    if (result instanceof PromiseOf) throw new Refusal("The driver returned a promise; return the result itself.");
    if (result === null || typeof result !== "object") {
      throw new Refusal(`The driver returned ${result === null ? "null" : typeof result}; return an object.`);
    }
    const plain = signature === "ttn" || signature === "chirpstack";
    const wrapped = !plain && (signature !== "actility" || "data" in result || "errors" in result);
    if (job.whole) answer.result = text(result, "result");
    answer.errors = wrapped ? texts(result.errors) : [];
    answer.warnings = wrapped ? texts(result.warnings) : [];
    if (answer.errors.length) return;
    if (operation !== "encodeDownlink") answer.data = text(wrapped ? result.data : result, "data");
    else if (isArray(result) || result instanceof BytesOf) answer.bytes = text(from(result), "bytes");
    else {
      answer.bytes = text(result.bytes instanceof BytesOf ? from(result.bytes) : result.bytes, "bytes");
      answer.fPort = text(result.fPort === undefined ? null : result.fPort, "fPort");
    }
  }

  function consoleOf(lines) {
    const log = (...values) => { if (lines.length < MAX_LINES) lines.push(cut(values.map(shown).join(" "))); };
    return { log, info: log, warn: log, error: log, debug: log, trace: log };
  }

  function run(given) {
    const job = parse(given);
    const lines = [];
    globalThis.console = consoleOf(lines);
    const answer = {};
    try {
      outcome(job, call(job), answer);
    } catch (error) { answer.failure = describe(error); }
    answer.spent = true;
    try {
      removeGlobals();
      answer.spent = isChanged();
    } catch { /* the global object is frozen */ }
    if (job.console) answer.console = lines;
    return stringify(answer);
  }

  return (command, value) => (command === "load" ? load(value) : run(value));
})
