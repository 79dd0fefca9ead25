/**
 * The tools that the host carries out for agents. A tool is said once, beside what it does; the
 * runner registers what it is told at its start. Who may use one is decided here, at each call.
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
  /** An agent is not shown what it may not use. */
  mayUse(agent: Agent): boolean;
  /** Does what is slow and what may refuse. Rejects with UserError, in words for the agent. */
  prepare(call: { agent: Agent; args: z.infer<Args> }): Promise<Outcome>;
}

/** As it stands; infers what `prepare` gets from `args`. */
export function defineTool<Args extends z.ZodObject>(tool: Tool<Args>): Tool {
  return tool;
}

const problemMax = 1000;

export class Tools {
  readonly #byName: Map<string, Tool>;

  /** Throws when two have one name. */
  constructor(tools: Tool[]) {
    this.#byName = new Map(tools.map((tool) => [tool.name, tool]));
    if (this.#byName.size < tools.length) throw new Error('two tools have the same name');
  }

  /** Those of the agent, in a fixed order: they are the beginning of every request to the model. */
  describe(agent: Agent): ToolDescription[] {
    const own = [...this.#byName.values()].filter((tool) => isFor(tool, agent));
    return own.map(({ name, description, args }) => {
      const { $schema: _, ...inputSchema } = z.toJSONSchema(args, { io: 'input' });
      return { name, description, inputSchema: { ...inputSchema, type: 'object' } };
    });
  }

  /** Rejects with UserError for a tool that is unknown or not the agent's, and for wrong arguments. */
  async prepare(agent: Agent, name: string, given: unknown): Promise<Outcome> {
    const tool = this.#byName.get(name);
    if (!tool || !isFor(tool, agent)) throw new UserError(`You have no tool ${name}.`);
    const args = tool.args.safeParse(given);
    if (!args.success)
      throw new UserError(`Refused: ${clip(z.prettifyError(args.error), problemMax)}`);
    return tool.prepare({ agent, args: args.data });
  }
}

function isFor(tool: Tool, agent: Agent): boolean {
  return (agent.tools?.includes(tool.name) ?? true) && tool.mayUse(agent);
}
