/**
 * The memory files, groups/<group>/CLAUDE.md. They belong to the agent and the owner: the host
 * creates one that is missing, and does not change it afterwards.
 */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './config.ts';
import type { Log } from './log.ts';
import { Refused, readInside, removeInside, writeInside } from './safe-open.ts';

const beginning = '# Memory\n';
/** A larger file is not searched for old instructions. */
const memoryBytesMax = 64 * 1024;
const temporaryName = 'CLAUDE.md.new';
/** A memory with fewer of the old lines has them by chance. */
const oldLinesMin = 3;
/** The first five characters of each old line's SHA-256 in base64url. */
const oldLines = new Set(
  `
  -GW11 -JoMo 0ssih 1DmCS 2ZEBm 4yrPQ 6Kes6 6QqVc 8oOQj 9GsF5 AA-u1 AEhcA Atkih BsmJn EF3gp FJZnw
  IqDf4 LYIui N8eyd O1IYQ PBF6y QxE7b S82zp STFzv T0Orj UREK2 Uv72e Ydqeq Z9KsM _1CVC _YmF9 aueh7
  bfgp2 cRd3Y cs5gF d3ooX emD3k fIlgp fs-pH hBKrZ hS9aw luDTF n83bf pSISx rrh9d sWXaS y7rRs yHeh5
  zHem1 zfrQi
`
    .trim()
    .split(/\s+/),
);

/** Creates the memory of a group whose folder exists. Does nothing where the name is taken. */
export function beginMemory(groupsDir: string, folder: string): void {
  try {
    writeInside(groupsDir, `${folder}/CLAUDE.md`, Buffer.from(beginning));
  } catch (error) {
    // Refused: the file is there, or it is a link or a pipe that the agent made in its place.
    if (!(error instanceof Refused)) throw error;
  }
}

/**
 * Creates the memories that every state has, and migrates those of version 0.1. Never throws; a
 * failure is logged.
 */
export function prepareMemory({ groupsDir }: Config, log: Log): void {
  for (const folder of ['main', 'global'])
    try {
      mkdirSync(join(groupsDir, folder), { recursive: true });
      beginMemory(groupsDir, folder);
      removeOldInstructions(join(groupsDir, folder));
    } catch (error) {
      log.warn({ err: error, folder }, 'a memory file was not prepared');
    }
}

/**
 * In version 0.1, the memory files also held the instructions. Removes the lines of those, and the
 * empty lines after them. Lines that the owner or the agent has added stay as they are.
 */
function removeOldInstructions(groupDir: string): void {
  const bytes = readInside(groupDir, 'CLAUDE.md', { bytesMax: memoryBytesMax });
  // One character per byte, so that text that is not UTF-8 is kept too.
  const lines = bytes.toString('latin1').split(/(?<=\n)/);
  if (lines.filter(isOld).length < oldLinesMin) return;
  let wasOld = false;
  const kept = lines.filter((line) => {
    if (line.trim() !== '') wasOld = isOld(line);
    return !wasOld;
  });
  const text = kept.join('') || beginning;
  // An attempt that crashed may have left it.
  removeInside(groupDir, temporaryName);
  writeInside(groupDir, temporaryName, Buffer.from(text, 'latin1'), 'CLAUDE.md');
}

function isOld(line: string): boolean {
  const hash = createHash('sha256').update(line.trimEnd(), 'latin1').digest('base64url');
  return oldLines.has(hash.slice(0, 5));
}
