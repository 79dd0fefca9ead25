/**
 * The rooms of the program and which way imports may go: a room may use those that stand below it,
 * none above it and none beside it. `npm run check` holds this and draws it.
 */

/** Floors from the top down. A room that has a group in its pattern is one room for each match. */
const floors = [
  { cli: '^src/cli/' },
  { index: '^src/(?:index|channels|features)\\.ts$' },
  { features: '^src/features/([^/]+)/', channels: '^src/channels/([^/]+)/' },
  {
    spine:
      '^src/(?:router|words|media|prompts|agents|approvals|groups|group-queue|turn|turn-end|container-runner|ipc|effects|tools|commands|outbox|losses|owner|recovery|mounts|feature|instructions)\\.ts$',
  },
  { egress: '^src/egress/', runtimes: '^src/runtimes/' },
  { container: '^container/' },
  { ground: '^src/(?:db/|[^/]+\\.ts$)' },
];

const rooms = floors.flatMap((floor, level) =>
  Object.entries(floor).map(([name, path]) => ({ name, path, level })),
);
/** The ground is what no other room of src/ names. */
const named = rooms.filter(({ name }) => name !== 'ground').map(({ path }) => path);
const inRoom = ({ name, path }) => (name === 'ground' ? { path, pathNot: named } : { path });

/** Rules for dependency-cruiser. */
export const forbidden = [
  ...rooms.flatMap((from) =>
    rooms
      .filter((to) => to.name !== from.name && to.level <= from.level)
      .map((to) => ({
        name: `${from.name} must not use ${to.name}`,
        severity: 'error',
        from: inRoom(from),
        to: inRoom(to),
      })),
  ),
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
];

function roomOf(file) {
  const { name, path } = rooms.find((room) => new RegExp(room.path).test(file));
  const match = new RegExp(path).exec(file);
  return match[1] === undefined ? name : `${name}/${match[1]}`;
}

/**
 * The rooms as a Mermaid graph, from what dependency-cruiser found. Arrows to the ground are left
 * out: every room stands on it.
 */
export function drawRooms(modules) {
  const arrows = modules.flatMap(({ source, dependencies }) =>
    dependencies
      .map(({ resolved }) => [roomOf(source), roomOf(resolved)])
      .filter(([from, to]) => from !== to && to !== 'ground')
      .map(([from, to]) => `  ${from} --> ${to}`),
  );
  return ['graph TD', ...[...new Set(arrows)].sort()].join('\n');
}
