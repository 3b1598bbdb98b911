// Node.js's Buffer for drivers: the documented methods on a Uint8Array, with the encodings utf8, hex, base64, latin1,
// ascii and utf16le. Evaluates to the class.
(function () {
  "use strict";

  const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  // Frozen objects, not maps: a driver that replaces a method of Map would get the map and could keep values in it.
  const VALUES = { __proto__: null, "-": 62, _: 63 };
  for (let value = 0; value < BASE64.length; value++) VALUES[BASE64[value]] = value;
  const NAMES = {
    __proto__: null,
    utf8: "utf8", "utf-8": "utf8", hex: "hex", base64: "base64", base64url: "base64url",
    latin1: "latin1", binary: "latin1", ascii: "ascii",
    utf16le: "utf16le", "utf-16le": "utf16le", ucs2: "utf16le", "ucs-2": "utf16le",
  };
  Object.freeze(VALUES);
  Object.freeze(NAMES);

  function encodingOf(name) {
    if (name === undefined || name === null) return "utf8";
    const known = NAMES[String(name).toLowerCase()];
    if (known === undefined) throw new TypeError(`Unknown encoding: ${name}`);
    return known;
  }

  function utf8Bytes(text) {
    const bytes = [];
    for (const character of text) {
      let code = character.codePointAt(0);
      if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
      if (code < 0x80) bytes.push(code);
      else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
      else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
      else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    }
    return bytes;
  }

  // The replacement of malformed sequences follows WHATWG's "UTF-8 decode", as in Node.js.
  function utf8Text(bytes, start, end) {
    let text = "";
    for (let at = start; at < end; ) {
      const first = bytes[at++];
      let code = first, more = 0, lowest = 0x80, highest = 0xbf;
      if (first < 0x80) more = 0;
      else if (first >= 0xc2 && first <= 0xdf) { more = 1; code = first & 31; }
      else if (first >= 0xe0 && first <= 0xef) {
        more = 2; code = first & 15;
        if (first === 0xe0) lowest = 0xa0;
        if (first === 0xed) highest = 0x9f;
      } else if (first >= 0xf0 && first <= 0xf4) {
        more = 3; code = first & 7;
        if (first === 0xf0) lowest = 0x90;
        if (first === 0xf4) highest = 0x8f;
      } else code = 0xfffd;
      for (; more > 0; more--) {
        if (at >= end || bytes[at] < lowest || bytes[at] > highest) { code = 0xfffd; break; }
        code = (code << 6) | (bytes[at++] & 63);
        lowest = 0x80; highest = 0xbf;
      }
      text += String.fromCodePoint(code);
    }
    return text;
  }

  function base64Bytes(text) {
    const bytes = [];
    let bits = 0, value = 0;
    for (const letter of text) {
      if (letter === "=") break;
      const six = VALUES[letter];
      if (six === undefined) continue;
      value = ((value << 6) | six) & 0xffff;
      bits += 6;
      if (bits >= 8) { bits -= 8; bytes.push((value >> bits) & 255); }
    }
    return bytes;
  }

  function base64Text(bytes, start, end, url) {
    let text = "";
    for (let at = start; at < end; at += 3) {
      const left = end - at;
      const value = (bytes[at] << 16) | ((left > 1 ? bytes[at + 1] : 0) << 8) | (left > 2 ? bytes[at + 2] : 0);
      text += BASE64[value >> 18] + BASE64[(value >> 12) & 63];
      text += left > 1 ? BASE64[(value >> 6) & 63] : "=";
      text += left > 2 ? BASE64[value & 63] : "=";
    }
    return url ? text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "") : text;
  }

  function bytesOf(text, encoding) {
    const bytes = [];
    switch (encodingOf(encoding)) {
      case "hex":
        for (let at = 0; at + 1 < text.length; at += 2) {
          const pair = text.slice(at, at + 2);
          if (!/^[0-9A-Fa-f]{2}$/.test(pair)) break;
          bytes.push(parseInt(pair, 16));
        }
        return bytes;
      case "base64": case "base64url":
        return base64Bytes(text);
      case "latin1": case "ascii":
        for (let at = 0; at < text.length; at++) bytes.push(text.charCodeAt(at) & 255);
        return bytes;
      case "utf16le":
        for (let at = 0; at < text.length; at++) bytes.push(text.charCodeAt(at) & 255, text.charCodeAt(at) >> 8);
        return bytes;
      default:
        return utf8Bytes(text);
    }
  }

  function clamp(value, missing, length) {
    let number = value === undefined ? missing : Math.trunc(Number(value)) || 0;
    if (number < 0) number = Math.max(0, length + number);
    return Math.min(number, length);
  }

  class Buffer extends Uint8Array {
    static from(value, second, length) {
      if (typeof value === "string") return wrapped(bytesOf(value, second));
      if (value instanceof ArrayBuffer) return new Buffer(value, second, length);
      if (ArrayBuffer.isView(value) || Array.isArray(value)) return wrapped(value);
      if (value && value.type === "Buffer" && Array.isArray(value.data)) return wrapped(value.data);
      if (value && typeof value === "object") {
        const primitive = value.valueOf();
        if (primitive !== value && primitive !== null && primitive !== undefined) {
          return Buffer.from(primitive, second, length);
        }
        if (typeof value.length === "number") return wrapped(Array.from(value));
      }
      throw new TypeError("Buffer.from needs a string, an array, an ArrayBuffer or a Buffer");
    }

    static alloc(size, fill, encoding) {
      const made = new Buffer(sizeOf(size));
      return fill === undefined || fill === 0 ? made : made.fill(fill, encoding);
    }

    static allocUnsafe(size) { return new Buffer(sizeOf(size)); }
    static allocUnsafeSlow(size) { return new Buffer(sizeOf(size)); }
    static isBuffer(value) { return value instanceof Buffer; }
    static isEncoding(name) { return NAMES[String(name).toLowerCase()] !== undefined; }

    static byteLength(value, encoding) {
      return typeof value === "string" ? bytesOf(value, encoding).length : value.byteLength;
    }

    static compare(one, other) {
      const length = Math.min(one.length, other.length);
      for (let at = 0; at < length; at++) {
        if (one[at] !== other[at]) return one[at] < other[at] ? -1 : 1;
      }
      return Math.sign(one.length - other.length);
    }

    static concat(list, total) {
      const length = total === undefined ? list.reduce((sum, each) => sum + each.length, 0) : sizeOf(total);
      const made = new Buffer(length);
      let at = 0;
      for (const each of list) {
        if (at >= length) break;
        made.set(each.length > length - at ? each.subarray(0, length - at) : each, at);
        at += each.length;
      }
      return made;
    }

    get parent() { return this.buffer; }
    get offset() { return this.byteOffset; }

    toString(encoding, start, end) {
      const from = clamp(start, 0, this.length);
      const to = Math.max(from, clamp(end, this.length, this.length));
      let text = "";
      switch (encodingOf(encoding)) {
        case "hex":
          for (let at = from; at < to; at++) text += (this[at] < 16 ? "0" : "") + this[at].toString(16);
          return text;
        case "base64":
          return base64Text(this, from, to, false);
        case "base64url":
          return base64Text(this, from, to, true);
        case "latin1":
          for (let at = from; at < to; at++) text += String.fromCharCode(this[at]);
          return text;
        case "ascii":
          for (let at = from; at < to; at++) text += String.fromCharCode(this[at] & 127);
          return text;
        case "utf16le":
          for (let at = from; at + 1 < to; at += 2) text += String.fromCharCode(this[at] | (this[at + 1] << 8));
          return text;
        default:
          return utf8Text(this, from, to);
      }
    }

    toLocaleString(encoding, start, end) { return this.toString(encoding, start, end); }
    toJSON() { return { type: "Buffer", data: Array.from(this) }; }
    equals(other) { return Buffer.compare(this, other) === 0; }

    compare(target, targetStart, targetEnd, start, end) {
      const other = Buffer.prototype.subarray.call(target, targetStart || 0, targetEnd);
      return Buffer.compare(this.subarray(start || 0, end), other);
    }

    // Unlike that of a Uint8Array, the part shares its memory.
    slice(start, end) { return this.subarray(start, end); }

    subarray(start, end) {
      const from = clamp(start, 0, this.length);
      const to = Math.max(from, clamp(end, this.length, this.length));
      return new Buffer(this.buffer, this.byteOffset + from, to - from);
    }

    copy(target, targetStart, start, end) {
      const at = clamp(targetStart, 0, target.length);
      const part = this.subarray(start || 0, end);
      const fitting = part.subarray(0, target.length - at);
      target.set(fitting, at);
      return fitting.length;
    }

    fill(value, start, end, encoding) {
      if (typeof start === "string") return this.fill(value, 0, this.length, start);
      if (typeof end === "string") return this.fill(value, start, this.length, end);
      const from = clamp(start, 0, this.length), to = clamp(end, this.length, this.length);
      const bytes = typeof value === "string" ? bytesOf(value, encoding) : typeof value === "object" ? value : [value & 255];
      if (bytes.length === 0) return super.fill(0, from, to);
      for (let at = from; at < to; at++) this[at] = bytes[(at - from) % bytes.length];
      return this;
    }

    write(text, start, length, encoding) {
      if (typeof start === "string") return this.write(text, 0, this.length, start);
      if (typeof length === "string") return this.write(text, start, undefined, length);
      const at = clamp(start, 0, this.length);
      const room = Math.min(length === undefined ? this.length : length, this.length - at);
      const bytes = bytesOf(String(text), encoding).slice(0, room);
      this.set(bytes, at);
      return bytes.length;
    }

    indexOf(value, start, encoding) { return found(this, value, start, encoding, 1); }
    lastIndexOf(value, start, encoding) { return found(this, value, start === undefined ? this.length : start, encoding, -1); }
    includes(value, start, encoding) { return this.indexOf(value, start, encoding) !== -1; }

    swap16() { return swapped(this, 2); }
    swap32() { return swapped(this, 4); }
    swap64() { return swapped(this, 8); }

    readUIntBE(offset, length) { return unsigned(this, offset, length, false); }
    readUIntLE(offset, length) { return unsigned(this, offset, length, true); }
    readIntBE(offset, length) { return signed(unsigned(this, offset, length, false), length); }
    readIntLE(offset, length) { return signed(unsigned(this, offset, length, true), length); }
    writeUIntBE(value, offset, length) { return written(this, value, offset, length, false); }
    writeUIntLE(value, offset, length) { return written(this, value, offset, length, true); }
    writeIntBE(value, offset, length) { return written(this, value, offset, length, false); }
    writeIntLE(value, offset, length) { return written(this, value, offset, length, true); }
  }

  function wrapped(bytes) {
    const made = new Buffer(bytes.length);
    for (let at = 0; at < bytes.length; at++) made[at] = bytes[at] & 255;
    return made;
  }

  function sizeOf(size) {
    if (typeof size !== "number" || !(size >= 0)) throw new RangeError(`Invalid size of a Buffer: ${String(size)}`);
    return size;
  }

  function checked(buffer, offset, length) {
    const at = offset === undefined ? 0 : offset;
    if (typeof at !== "number") throw new TypeError("The offset must be a number");
    if (!Number.isInteger(at) || at < 0 || at + length > buffer.length) {
      throw new RangeError(`The offset ${at} is out of range: ${length} byte(s) of ${buffer.length}`);
    }
    return at;
  }

  function unsigned(buffer, offset, length, little) {
    const at = checked(buffer, offset, length);
    let value = 0;
    for (let place = 0; place < length; place++) {
      value = value * 256 + buffer[little ? at + length - 1 - place : at + place];
    }
    return value;
  }

  function signed(value, length) {
    return value >= 2 ** (8 * length - 1) ? value - 2 ** (8 * length) : value;
  }

  function written(buffer, value, offset, length, little) {
    const at = checked(buffer, offset, length);
    const number = Math.trunc(Number(value)) || 0;
    if (number < -(2 ** (8 * length - 1)) || number >= 2 ** (8 * length)) {
      throw new RangeError(`The value ${number} does not fit into ${length} byte(s)`);
    }
    let rest = number < 0 ? number + 2 ** (8 * length) : number;
    for (let place = 0; place < length; place++) {
      buffer[little ? at + place : at + length - 1 - place] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    return at + length;
  }

  function found(buffer, value, start, encoding, step) {
    if (typeof start === "string") return found(buffer, value, step > 0 ? 0 : buffer.length, start, step);
    const wanted = typeof value === "string" ? bytesOf(value, encoding) : typeof value === "number" ? [value & 255] : value;
    let at = clamp(start, 0, buffer.length);
    if (step < 0) at = Math.min(at, buffer.length - wanted.length);
    for (; at >= 0 && at + wanted.length <= buffer.length; at += step) {
      let same = 0;
      while (same < wanted.length && buffer[at + same] === wanted[same]) same++;
      if (same === wanted.length) return at;
    }
    return -1;
  }

  function swapped(buffer, length) {
    if (buffer.length % length) throw new RangeError(`The size must be a multiple of ${length}`);
    for (let at = 0; at < buffer.length; at += length) buffer.subarray(at, at + length).reverse();
    return buffer;
  }

  // Methods and not functions: the latter have a prototype, whose state must be compared after each message.
  function define(name, method) {
    Object.defineProperty(Buffer.prototype, name, { value: method, writable: true, configurable: true });
  }

  for (const length of [1, 2, 4]) {
    for (const order of length === 1 ? [""] : ["LE", "BE"]) {
      const little = order === "LE", bits = 8 * length + order;
      const { read, readSigned, write } = {
        read(offset) { return unsigned(this, offset, length, little); },
        readSigned(offset) { return signed(unsigned(this, offset, length, little), length); },
        write(value, offset) { return written(this, value, offset, length, little); },
      };
      define(`readUInt${bits}`, read);
      define(`readUint${bits}`, read);
      define(`readInt${bits}`, readSigned);
      define(`writeUInt${bits}`, write);
      define(`writeUint${bits}`, write);
      define(`writeInt${bits}`, write);
    }
  }
  for (const name of ["UIntLE", "UIntBE"]) {
    define(`read${name.replace("UI", "Ui")}`, Buffer.prototype[`read${name}`]);
    define(`write${name.replace("UI", "Ui")}`, Buffer.prototype[`write${name}`]);
  }
  const views = [["Float", "Float32", 4], ["Double", "Float64", 8], ["BigInt64", "BigInt64", 8], ["BigUInt64", "BigUint64", 8]];
  for (const [name, kind, length] of views) {
    for (const order of ["LE", "BE"]) {
      const view = (buffer) => new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
      const { read, write } = {
        read(offset) { return view(this)[`get${kind}`](checked(this, offset, length), order === "LE"); },
        write(value, offset) {
          const at = checked(this, offset, length);
          view(this)[`set${kind}`](at, value, order === "LE");
          return at + length;
        },
      };
      define(`read${name}${order}`, read);
      define(`write${name}${order}`, write);
      define(`read${name.replace("BigUI", "BigUi")}${order}`, read);
      define(`write${name.replace("BigUI", "BigUi")}${order}`, write);
    }
  }
  return Buffer;
})()
