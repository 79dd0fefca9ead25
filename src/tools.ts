/**
 * The tools that the host carries out for agents. A tool is defined once, on the host; the runner
 * registers those that its first file lists. Whether an agent may use a tool is decided here, at
 * each call.
 */
import { z } from 'zod';
import type { Outcome } from './outcome.ts';
import type { ToolDescription } from './protocol.ts';
import { clip } from './text.ts';
import { type Agent, UserError } from './types.ts';

export interface Tool<Args extends z.ZodObject = z.ZodObject> {
  name: string;
  /** For the model: what it does, and when to use it. */
  description: string;
  args: Args;
  /** An agent is not shown a tool that it may not use. */
  mayUse(agent: Agent): boolean;
  /** Does the slow work and the checks. Rejects with UserError, in words for the agent. */
  prepare(call: { agent: Agent; args: z.infer<Args> }): Promise<Outcome>;
}

/** Returns the tool unchanged; infers from `args` what `prepare` gets. */
export function defineTool<Args extends z.ZodObject>(tool: Tool<Args>): Tool {
  return tool;
}

/** In UTF-16 units. */
const problemMax = 1000;

export class Tools {
  readonly #byName: Map<string, Tool>;
  readonly #descriptions: Map<Tool, ToolDescription>;

  /** Throws when two tools have the same name, or when arguments have no JSON schema. */
  constructor(tools: Tool[]) {
    this.#byName = new Map(tools.map((tool) => [tool.name, tool]));
    this.#descriptions = new Map(tools.map((tool) => [tool, describe(tool)]));
    if (this.#byName.size < tools.length) throw new Error('two tools have the same name');
  }

  /**
   * The agent's tools. Their order is fixed, because every request to the model begins with them
   * and is cached from its beginning on.
   */
  describe(agent: Agent): ToolDescription[] {
    const all = [...this.#descriptions];
    return all.flatMap(([tool, description]) => (isFor(tool, agent) ? [description] : []));
  }

  /**
   * Rejects with UserError when the tool is unknown or not the agent's, and when arguments are
   * wrong.
   */
  async prepare(agent: Agent, name: string, given: unknown): Promise<Outcome> {
    const tool = this.#byName.get(name);
    if (!tool || !isFor(tool, agent)) throw new UserError(`You have no tool ${name}.`);
    const args = tool.args.safeParse(given);
    if (!args.success)
      throw new UserError(`Refused: ${clip(z.prettifyError(args.error), problemMax)}`);
    return tool.prepare({ agent, args: args.data });
  }
}

function describe({ name, description, args }: Tool): ToolDescription {
  const { $schema: _, ...inputSchema } = z.toJSONSchema(args, { io: 'input' });
  return { name, description, inputSchema: { ...inputSchema, type: 'object' } };
}

function isFor(tool: Tool, agent: Agent): boolean {
  return (agent.tools?.includes(tool.name) ?? true) && tool.mayUse(agent);
}
