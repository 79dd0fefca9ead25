import { expect, test } from 'vitest';
import { defaultLimits } from '../config.ts';
import { type BubblewrapHost, bubblewrapLaunch } from './bubblewrap.ts';
import type { ContainerSpec } from './container-spec.ts';

const host: BubblewrapHost = {
  isRoot: false,
  system: ['--ro-bind', '/usr', '/usr'],
  mounts: [{ source: '/usr/bin/node', target: '/opt/node/bin/node', readOnly: true }],
  filter: Buffer.from('filter'),
};
const spec: ContainerSpec = {
  name: 'nanoclaw-0a1b2c3d-7',
  uid: 70_001,
  mounts: [{ source: '/state/groups/main', target: '/workspace/group', readOnly: false }],
  env: { HOME: '/home/agent' },
  workDir: '/workspace/group',
  command: ['node', '/opt/nanoclaw/agent-runner.js'],
  limits: defaultLimits.container,
};

/** The words of a command line. */
const words = (line: string) => line.trim().split(/\s+/);

const env = { NANOCLAW_CONTAINER: 'nanoclaw-0a1b2c3d-7' };
const command = words(`
  bwrap --args 3 -- prlimit --nproc=512 --nofile=4096 --fsize=1073741824 --core=0 --
  node /opt/nanoclaw/agent-runner.js`);
const sealed = (node: string, group: string) =>
  words(`
    --unshare-all --unshare-user --disable-userns --die-with-parent
    --new-session --hostname nanoclaw --clearenv
    --setenv PATH /opt/node/bin:/usr/local/bin:/usr/bin:/bin
    --setenv HOME /home/agent
    --ro-bind /usr /usr
    --proc /proc --dev /dev
    --ro-bind-try /proc/sys /proc/sys --ro-bind-try /proc/pressure /proc/pressure
    --size 67108864 --tmpfs /dev/shm --remount-ro /dev
    --size 536870912 --tmpfs /tmp
    --ro-bind ${node} /opt/node/bin/node --bind ${group} /workspace/group
    --remount-ro / --chdir /workspace/group --uid 1000 --gid 1000
    --cap-drop ALL --seccomp 4`);
const decoded = (feeds: Buffer[]) =>
  feeds.map((bytes) => {
    const text = bytes.toString();
    return text.endsWith('\0') ? text.slice(0, -1).split('\0') : text;
  });

test('a plain user starts bubblewrap, which reads its arguments and the filter', () => {
  const { file, args, feeds, ...rest } = bubblewrapLaunch(host, spec, []);
  expect(file).toBe('/bin/sh');
  expect(args.slice(2)).toEqual(['sh', '--', ...command]);
  expect(rest).toEqual({ env });
  expect(decoded(feeds)).toEqual([sealed('/usr/bin/node', '/state/groups/main'), 'filter']);
});

test('root enters the cgroups, gathers the mounts, drops to the uid, and only then seals', () => {
  const { feeds, ...rest } = bubblewrapLaunch({ ...host, isRoot: true }, spec, ['/cgroup/procs']);
  expect(rest.file).toBe('/bin/sh');
  expect(rest.env).toEqual(env);
  const stage = words(`
    sh /cgroup/procs -- bwrap --args 5 --
    setpriv --reuid 70001 --regid 70001 --clear-groups
    --inh-caps=-all --bounding-set=-all --no-new-privs --`);
  expect(rest.args.slice(2)).toEqual([...stage, ...command]);
  expect(decoded(feeds)).toEqual([
    sealed('/stage/0', '/stage/1'),
    'filter',
    words(`
      --unshare-pid --die-with-parent --ro-bind /usr /usr
      --dev-bind /dev /dev --dev-bind /proc /proc --dir /tmp
      --dir /stage --ro-bind /usr/bin/node /stage/0
      --bind /state/groups/main /stage/1`),
  ]);
});
