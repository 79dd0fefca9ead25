/**
 * The rooms of the program and which way imports may go: a room may use those that stand below
 * it, none above it and none beside it. `npm run check` holds this.
 */

/** Floors from the top down; rooms on one floor do not know each other. */
const floors = [
  { cli: '^src/cli/' },
  { index: '^src/(index|channels|features)\\.ts$' },
  { features: '^src/features/([^/]+)/', channels: '^src/channels/([^/]+)/' },
  {
    spine:
      '^src/(router|agents|groups|group-queue|turn|turn-end|container-runner|ipc|effects|tools|commands|outbox|owner|recovery|mounts|housekeeping|feature)\\.ts$',
  },
  { egress: '^src/egress/', runtimes: '^src/runtimes/' },
  { inside: '^container/' },
  { ground: '^src/(db/|[^/]+\\.ts$)' },
];

const rooms = floors.flatMap((floor, level) =>
  Object.entries(floor).map(([name, path]) => ({ name, path, level })),
);
/** The ground is what no other room of src/ names. */
const named = rooms.filter(({ name }) => name !== 'ground').map(({ path }) => path);
const inRoom = ({ name, path }) => (name === 'ground' ? { path, pathNot: named } : { path });

const forbidden = rooms.flatMap((from) =>
  rooms
    .filter((to) => to.name !== from.name && to.level <= from.level)
    .map((to) => ({
      name: `${from.name} must not use ${to.name}`,
      severity: 'error',
      from: inRoom(from),
      to: inRoom(to),
    })),
);

export default {
  forbidden: [
    ...forbidden,
    {
      name: 'a feature and a channel know no other one',
      severity: 'error',
      from: { path: '^src/(features|channels)/([^/]+)/' },
      to: { path: '^src/(features|channels)/', pathNot: '^src/$1/$2/' },
    },
    {
      name: 'every file belongs to a room',
      severity: 'error',
      from: { pathNot: rooms.map(({ path }) => path) },
      to: {},
    },
    { name: 'no circle', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    parser: 'swc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.test\\.ts$' },
    includeOnly: '^(src|container)/',
  },
};
