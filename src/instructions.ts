/**
 * How an agent's session opens, and what the agent is told: container/instructions/ and the texts
 * of features. They become the system prompt, so they hold nothing that differs by group or turn:
 * agents with the same tools share its cached bytes.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './config.ts';
import { findSession } from './db/runs.ts';
import type { Store } from './db.ts';
import type { Parts } from './feature.ts';
import type { InFile } from './protocol.ts';
import type { Tools } from './tools.ts';
import type { Agent } from './types.ts';

interface Instructions {
  everyone: string;
  main: string;
}

/** Reads the texts. Throws when one is missing, because the installation is incomplete then. */
export function loadInstructions({ projectDir, assistantName }: Config): Instructions {
  const load = (name: string) =>
    readFileSync(join(projectDir, 'container/instructions', `${name}.md`), 'utf8')
      .replaceAll('{name}', assistantName)
      .trim();
  return { everyone: load('everyone'), main: load('main') };
}

interface Surroundings {
  store: Store;
  instructions: Instructions;
  tools: Tools;
  features: Parts[];
}

/** The first file for a container of the agent. */
export function startFile(
  agent: Agent,
  { store, instructions, tools, features }: Surroundings,
): InFile {
  const { everyone, main } = instructions;
  const own = tools.describe(agent);
  const names = new Set(own.map(({ name }) => name));
  const further = features.filter((feature) => feature.tools?.some(({ name }) => names.has(name)));
  const texts = [
    everyone,
    ...(agent.group.isMain ? [main] : []),
    ...further.flatMap((feature) => feature.instructions ?? []),
  ];
  return {
    kind: 'start',
    sessionId: findSession(store, agent.id),
    instructions: texts.join('\n\n'),
    tools: own,
    model: agent.model,
  };
}
