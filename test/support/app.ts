/**
 * The real host in this process, on a state folder of its own, with the scripted model as
 * the gateway that a user would name in ANTHROPIC_BASE_URL. Containers, SDK and `claude`
 * are real.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Config, defaultLimits, type Limits, loadConfig } from '../../src/config.ts';
import { Store } from '../../src/db.ts';
import type { Feature } from '../../src/feature.ts';
import { features as allFeatures } from '../../src/features.ts';
import { type Host, startHost } from '../../src/index.ts';
import type { Clock } from '../../src/types.ts';
import { type ScriptedModel, startScriptedModel } from '../scripted-model/scripted-model.ts';
import { TestTerminal } from './terminal.ts';

export interface AppOptions {
  limits?: Partial<Limits>;
  clock?: Clock;
  /** Beside those of the program. */
  features?: readonly Feature[];
  /** A state folder that is there already; otherwise a new one. */
  home?: string;
  model?: ScriptedModel;
  environment?: Record<string, string>;
  /** What cleans up when it is over; by default the end of the test in which it starts. */
  atEnd?: (clean: () => Promise<void>) => void;
}

export class App {
  readonly config: Config;
  readonly model: ScriptedModel;
  readonly #limits: Limits;
  readonly #features: readonly Feature[];
  readonly #clock: { clock?: Clock };
  #host: Host | undefined;

  private constructor(config: Config, model: ScriptedModel, options: AppOptions) {
    this.config = config;
    this.model = model;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#clock = options.clock ? { clock: options.clock } : {};
    this.#features = [...allFeatures, ...(options.features ?? [])];
  }

  /** Starts a host; the test's end stops it and removes its state. */
  static async start(options: AppOptions = {}): Promise<App> {
    const home = options.home ?? mkdtempSync(join(tmpdir(), 'nanoclaw-e2e-'));
    const model = options.model ?? (await startScriptedModel());
    const environment = {
      ANTHROPIC_API_KEY: 'the-real-key',
      ANTHROPIC_BASE_URL: model.url,
      NANOCLAW_HOME: home,
      NANOCLAW_RUNTIME: process.env.NANOCLAW_RUNTIME ?? 'bubblewrap',
      ...options.environment,
    };
    const config = loadConfig(environment, dirname(dirname(import.meta.dirname)));
    const app = new App(config, model, options);
    (options.atEnd ?? onTestFinished)(async () => {
      await app.stop();
      await model.close();
      execFileSync('rm', ['-rf', home]);
    });
    await app.start();
    return app;
  }

  async start(): Promise<void> {
    if (!this.config.model) throw new Error('the environment names no credential');
    this.#host = await startHost(this.config, this.config.model, {
      limits: this.#limits,
      features: this.#features,
      ...this.#clock,
    });
  }

  async stop(): Promise<void> {
    await this.#host?.stop();
    this.#host = undefined;
  }

  attach(group?: string, as?: string): Promise<TestTerminal> {
    return TestTerminal.attach(this.config.socketPath, group, as);
  }

  /** The path of something in a group's folder. */
  inGroup(group: string, ...path: string[]): string {
    return join(this.config.groupsDir, group, ...path);
  }

  /** Asks the store, while the host runs. */
  rows(sql: string): unknown[] {
    const store = new Store(join(this.config.storeDir, 'nanoclaw.db'));
    try {
      return store.all(sql);
    } finally {
      store.close();
    }
  }
}
