// amqplib, the client of Node.js: a batch is published without a pause, then all confirms are awaited.
// It speaks the protocol of serving.py. The package is found through NODE_PATH.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const amqp = require("amqplib");

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

async function connect(job) {
  const tls = job.tls && {
    ca: [fs.readFileSync(job.tls.authority)],
    cert: fs.readFileSync(job.tls.certificate),
    key: fs.readFileSync(job.tls.key),
  };
  const connection = await amqp.connect(
    {
      protocol: tls ? "amqps" : "amqp",
      hostname: job.host,
      port: job.port,
      username: job.user,
      password: job.password,
      heartbeat: 0,
    },
    { ...tls, noDelay: true },
  );
  const channel = await connection.createConfirmChannel();
  channel.on("return", (message) => {
    throw new Error(`returned: ${message.fields.replyText}`);
  });
  return { connection, channel };
}

function readMessages(file) {
  return JSON.parse(fs.readFileSync(file, "utf8")).map(({ routing_key: key, body, properties: given }) => ({
    key,
    body: Buffer.from(body),
    options: {
      mandatory: true,
      persistent: given.delivery_mode === 2,
      contentType: given.content_type,
      contentEncoding: given.content_encoding,
      headers: given.headers,
      messageId: given.message_id,
      timestamp: given.timestamp,
      type: given.type,
      appId: given.app_id,
    },
  }));
}

async function main() {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done) return; // the comparison ended before this contender's turn
  const job = JSON.parse(first.value);
  const messages = readMessages(job.messages);
  const { connection, channel } = await connect(job);
  const publish = async (batch) => {
    for (let at = 0; at < batch; at += 1) {
      channel.publish(job.exchange, messages[at].key, messages[at].body, messages[at].options);
    }
    await channel.waitForConfirms(); // rejects if the broker refused a message
  };
  const { version } = JSON.parse(fs.readFileSync(path.join(process.env.NODE_PATH, "amqplib", "package.json"), "utf8"));
  say({ version: `amqplib ${version}, Node.js ${process.versions.node}` });
  for await (const line of lines) {
    const command = JSON.parse(line);
    for (let n = 0; n < command.warmUps; n += 1) await publish(command.batch);
    let seconds = 0;
    let processor = 0;
    for (let n = 0; n < command.batches; n += 1) {
      await sleep(command.pause * 1000);
      const used = process.cpuUsage();
      const began = performance.now();
      await publish(command.batch);
      seconds += (performance.now() - began) / 1000;
      const { user, system } = process.cpuUsage(used);
      processor += (user + system) / 1e6;
    }
    say({ seconds, processor });
  }
  await connection.close();
}

main();
