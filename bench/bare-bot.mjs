/**
 * The baseline for the host with WhatsApp: plain Baileys in a Node script with its keys in memory,
 * linked by the QR code that it prints. It echoes a text that begins with "echo" at once. It
 * answers any other text with the result of the bare SDK (bare-sdk.mjs), in one open session, or in
 * a new one for a text that begins with "cold".
 */
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { initAuthCreds, makeWASocket } from 'baileys';
import { pino } from 'pino';

const [dir, modelUrl, webSocketUrl] = process.argv.slice(2);
const creds = initAuthCreds();
const kept = new Map();
const keys = {
  get: async (type, ids) =>
    Object.fromEntries(ids.map((id) => [id, kept.get(`${type} ${id}`)]).filter(([, key]) => key)),
  set: async (changes) => {
    for (const [type, values] of Object.entries(changes))
      for (const [id, key] of Object.entries(values)) kept.set(`${type} ${id}`, key);
  },
};

function openSession() {
  const [cwd, home] = ['bare-', 'home-'].map((name) => mkdtempSync(join(dir, name)));
  const program = join(import.meta.dirname, 'bare-sdk.mjs');
  const child = spawn(process.execPath, [program, cwd, home, modelUrl], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (text) => {
    child.stdin.write(`${text}\n`);
    return JSON.parse((await lines.next()).value).result;
  };
  return { ask, end: () => child.stdin.end() };
}

let warm;

async function answer(text) {
  if (text.startsWith('echo')) return text;
  if (!text.startsWith('cold')) {
    warm ??= openSession();
    return warm.ask(text);
  }
  const session = openSession();
  const reply = await session.ask(text);
  session.end();
  return reply;
}

function connect() {
  const logger = pino({ level: 'silent' });
  const socket = makeWASocket({ auth: { creds, keys }, logger, waWebSocketUrl: webSocketUrl });
  socket.ev.on('creds.update', (changes) => Object.assign(creds, changes));
  socket.ev.on('connection.update', ({ connection, qr }) => {
    if (qr) process.stdout.write(`${qr}\n`);
    // After the link, WhatsApp expects a new connection.
    if (connection === 'close') connect();
  });
  socket.ev.on('messages.upsert', async ({ messages }) => {
    for (const { key, message } of messages) {
      const text = message?.conversation ?? message?.extendedTextMessage?.text;
      if (text && !key.fromMe)
        await socket.sendMessage(key.remoteJid, { text: await answer(text) });
    }
  });
}

// libsignal prints its sessions with their keys.
for (const method of ['log', 'info', 'warn', 'error']) console[method] = () => {};
connect();
