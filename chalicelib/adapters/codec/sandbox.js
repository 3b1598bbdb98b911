// The surroundings of a driver in one context of the engine. Evaluates to a function of the class Buffer, which returns
// {load, run}: ``load(code)`` compiles a driver, and ``run(job)`` calls one of its functions with JSON and returns JSON.
//
// The driver's whole code runs again for each message, as the body of a function, so that its variables are new. What it
// may change beyond them, the built-in objects, is compared with its first state after each message. The context is not
// used again after a change: ``run`` then returns "spent": true.
(function (Buffer) {
  "use strict";

  const { stringify, parse } = JSON;
  const { ownKeys, getOwnPropertyDescriptor, getPrototypeOf, deleteProperty, apply } = Reflect;
  const { freeze, defineProperty } = Object;
  const { isArray, from } = Array;
  const { isFinite } = Number;
  const { slice } = String.prototype;
  const [stringOf, SetOf, DateOf, FunctionOf, PromiseOf, BytesOf] = [String, Set, Date, Function, Promise, Uint8Array];

  const MAX_RESULT = 256 * 1024, MAX_LINES = 100, MAX_TEXT = 1000, MAX_LIST = 20;
  const FUNCTIONS = [
    "decodeUplink", "decodeDownlink", "encodeDownlink", "Decoder", "Encoder", "Decode", "Encode",
  ];
  const NAMES = {
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
  for (const name of REMOVED) delete globalThis[name];

  // recvTime is a string, as the incumbent gives it. TS013 gives a Date, so the string answers to the methods of one.
  for (const name of ownKeys(DateOf.prototype)) {
    if (typeof name !== "string" || !/^(get|to(ISO|UTC|GMT|Date|Time|LocaleDate|LocaleTime))/.test(name)) continue;
    const method = DateOf.prototype[name];
    const value = function (...values) { return apply(method, new DateOf(stringOf(this)), values); };
    defineProperty(String.prototype, name, { value, writable: true, configurable: true });
  }

  function require(name) {
    if (name === "buffer" || name === "node:buffer") return { Buffer };
    throw new Refusal(`require(${stringify(name)}) is not available to a driver; only "buffer" is.`);
  }

  defineProperty(globalThis, "Buffer", { value: Buffer, writable: true, configurable: true });
  defineProperty(globalThis, "require", { value: require, writable: true, configurable: true });
  defineProperty(globalThis, "global", { value: globalThis, writable: true, configurable: true });
  const OWN = new SetOf(["exports", "module", "console", "context"]);  // new for each message
  for (const name of OWN) globalThis[name] = undefined;

  // The state of all built-in objects, as arrays of equal length. Functions that are methods are frozen instead: nothing
  // inherits from them.

  const objects = [], parents = [], counts = [];
  const owners = [], keys = [], values = [];
  const accessors = [];
  const globals = new SetOf(ownKeys(globalThis));
  (function () {
    const seen = new SetOf([globalThis]), queue = [globalThis];
    const methods = [];
    while (queue.length) {
      const object = queue.pop();
      const own = ownKeys(object);
      const isMethod = typeof object === "function" && !own.includes("prototype");
      for (const key of own) {
        if (object === globalThis && OWN.has(key)) continue;
        const property = getOwnPropertyDescriptor(object, key);
        if (!isMethod && !("value" in property)) accessors.push({ object, key, get: property.get, set: property.set });
        // What cannot change needs no comparison; NaN differs from itself.
        const may = property.writable || (property.configurable && key !== "name" && key !== "length");
        if (!isMethod && "value" in property && may && property.value === property.value) {
          owners.push(object);
          keys.push(key);
          values.push(property.value);
        }
        for (const value of [property.value, property.get, property.set]) {
          const known = value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value);
          if (!known) { seen.add(value); queue.push(value); }
        }
      }
      const parent = getPrototypeOf(object);
      if (parent !== null && !seen.has(parent)) { seen.add(parent); queue.push(parent); }
      if (isMethod) methods.push(object);
      else { objects.push(object); parents.push(parent); counts.push(own.length); }
    }
    methods.forEach(freeze);
  })();

  function isChanged() {
    for (let at = 0; at < values.length; at++) if (owners[at][keys[at]] !== values[at]) return true;
    for (let at = 0; at < objects.length; at++) {
      if (ownKeys(objects[at]).length !== counts[at] || getPrototypeOf(objects[at]) !== parents[at]) return true;
    }
    for (const { object, key, get, set } of accessors) {
      const property = getOwnPropertyDescriptor(object, key);
      if (!property || property.get !== get || property.set !== set) return true;
    }
    return false;
  }

  function removeGlobals() {
    for (const key of ownKeys(globalThis)) if (!globals.has(key)) deleteProperty(globalThis, key);
    for (const name of OWN) globalThis[name] = undefined;
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

  // An error of these surroundings: it has no place in the driver.
  class Refusal extends Error {}

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
      factory = new FunctionOf(code + COLLECT);
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
    const own = found[FUNCTIONS.indexOf(name)];
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
    removeGlobals();
    answer.spent = isChanged();
    if (job.console) answer.console = lines;
    return stringify(answer);
  }

  return (command, value) => (command === "load" ? load(value) : run(value));
})
