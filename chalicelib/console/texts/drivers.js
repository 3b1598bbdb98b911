/** Texts of the drivers. */

import { count } from "./words.js";

export const drivers = {
  title: "Drivers",
  intro: "A driver is JavaScript that decodes the bytes of a device to JSON, and encodes downlinks. "
    + "A flow names its driver.",
  empty: "No drivers yet",
  table: "Drivers, newest first",
  columns: { name: "Name", signature: "Signature", models: "Models", changed: "Changed" },
  newTitle: "New driver",
  id: "Driver ID",
  idHelp: "producerId:moduleId:version, for example mycompany:level-sensor:1. It cannot be changed later.",
  idWrong: "Enter producerId:moduleId:version, each of 1 to 64 letters, digits or . _ - characters.",
  name: "Driver Name",
  nameHelp: "A name for you and your colleagues. Without a name, the ID is shown.",
  signature: "Signature",
  signatureHelp: "The convention by which the functions of the driver are named and called.",
  signatures: {
    "lora-alliance": "LoRa Alliance (TS013): decodeUplink(input)",
    ttn: "The Things Network: Decoder(bytes, port)",
    chirpstack: "ChirpStack: Decode(fPort, bytes, variables)",
    actility: "Actility: decodeUplink(input), bytes as hex",
  },
  models: "Models",
  modelsHint: "Automatic in a flow takes this driver for these models. "
    + "Type producerId:moduleId:version and press Enter.",
  code: "Code (JavaScript)",
  drop: "Or drop a file on the field.",
  tooLarge: "This file is too large: the limit is 512 KB.",
  goTo: (/** @type {number} */ line) => `Go to line ${line}`,
  deleteText: "This cannot be undone.",
  usedTitle: "Flows name this driver",
  usedText: "Choose another driver in these flows first.",

  decode: "Try a payload",
  decodeHint: "Runs the code as it is in the editor, saved or not.",
  operation: "Function",
  operations: { decodeUplink: "Decode uplink", decodeDownlink: "Decode downlink", encodeDownlink: "Encode downlink" },
  bytes: "Payload (hex)",
  bytesWrong: "Enter pairs of hexadecimal digits.",
  port: "FPort",
  data: "Data (JSON)",
  run: "Run",
  took: (/** @type {number} */ n) => `${n.toLocaleString("en", { maximumFractionDigits: 1 })} ms`,
  warnings: "Warnings",
  console: "Console",

  examples: "Examples",
  examplesHint: "A JSON array in the format of the device catalogue: "
    + "type (uplink, downlink-encode, downlink-decode), description, input and output.",
  examplesField: "Examples (JSON)",
  notArray: "Enter a JSON array of examples.",
  runExamples: "Run all examples",
  passed: (/** @type {number} */ n, /** @type {number} */ all) =>
    `${n} of ${count(all, "example", "examples")} passed.`,
  example: (/** @type {number} */ n) => `Example ${n}`,
  pass: "passed",
  fail: "failed",
  place: "Place",
  expected: "Expected",
  actual: "Actual",
  absent: "absent",
  whole: "(the result)",
};
