/** Attacks on files: the host's, other groups', the project's, and the agent's own mounts. */
import type { Check } from './check.ts';

const area = 'files';

export const fileChecks: Check[] = [
  {
    id: 'read-planted',
    area,
    says: 'read files of the host, other groups, sessions or the store by their paths',
    mild: true,
    program: {
      language: 'bash',
      code: `
for path in "$HOST_HOME_FILE" "$HOST_TMP_FILE" "$HOST_ENV_FILE" "$HOST_GROUP_FILE" \\
  "$HOST_AGENT_FILE" "$HOST_STORE_FILE" "$HOST_STATE" "$HOST_PROJECT" /workspace/group/../victim; do
  cat "$path" 2>&1
  [ ! -e "$path" ] || echo "OPEN $path is there"
done
# An image has these too, and closes them.
for path in /etc/shadow /etc/gshadow /root /etc/ssh/ssh_host_rsa_key; do
  [ ! -r "$path" ] || echo "OPEN $path can be read"
done
true`,
    },
  },
  {
    id: 'write-everywhere',
    area,
    says: 'create or change a file outside its own folders',
    open: { runsc: 'gVisor shows /dev/fuse and /dev/net/tun: devices of its own kernel.' },
    program: {
      language: 'python',
      code: `
import os, stat
# The last two: memory of its own, gone with the container.
own = ('/workspace/group', '/home/agent', '/workspace/ipc/out', '/tmp', '/dev/shm', '/dev/mqueue')
# null (which also hides files of /proc), zero, full, random, urandom, tty, ptmx, terminals.
devices = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, 0), (136, 1)}
looked = 0
def walk(folder):
    global looked
    try:
        names = os.listdir(folder)
    except OSError:
        return
    try:
        probe = os.path.join(folder, '.hostile-probe')
        os.close(os.open(probe, os.O_CREAT | os.O_WRONLY))
        print('OPEN created', probe, flush=True)
        os.unlink(probe)
    except OSError:
        pass
    for name in names:
        path = os.path.join(folder, name)
        try:
            status = os.lstat(path)
        except OSError:
            continue
        mode, device = status.st_mode, (os.major(status.st_rdev), os.minor(status.st_rdev))
        looked += 1
        if path in own or path == '/proc/pressure' or path.startswith('/proc/') and name.isdigit():
            continue
        if stat.S_ISDIR(mode):
            walk(path)
        elif stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode) and device not in devices:
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))
                print('OPEN can write', path)
            except OSError:
                pass
walk('/')
print(looked, 'looked at')`,
    },
    held: ({ output }) => Number(/(\d+) looked at/.exec(output)?.[1]) > 5000,
  },
  {
    id: 'told-folder',
    area,
    says: 'change what the host tells it, nor write into the folders of others by any path',
    program: {
      language: 'bash',
      code: `
inbox=/workspace/ipc/in
try() { if "$@" 2>/dev/null; then echo "OPEN $*"; fi; }
try touch $inbox/000999.json
try mkdir $inbox/folder
try chmod 777 $inbox
try mv $inbox /workspace/ipc/old
try mv /workspace/ipc/out /workspace/ipc/old
try ln -s /etc/passwd $inbox/link
for file in $inbox/*; do try rm -f "$file"; try mv "$file" "$file.old"; try truncate -s 0 "$file"; done
[ -z "$(find $inbox -newer /tmp/check -writable 2>/dev/null)" ] || echo "OPEN writable in $inbox"
for folder in /workspace/global /workspace/ipc /workspace /opt/nanoclaw /opt/node /home /usr/local/bin; do
  try touch "$folder/hostile"
done
ln -sfn "$HOST_STATE/groups/victim" /workspace/group/victim
ln -sfn "$(dirname "$HOST_AGENT_FILE")" /workspace/ipc/out/victim
for folder in /workspace/group/victim /workspace/ipc/out/victim "$HOST_STATE/data" "$HOST_STATE/store" "$HOST_PROJECT" "$HOST_PROJECT/src" "$HOST_PROJECT/dist"; do
  try touch "$folder/hostile"
  try ls "$folder/"
done
rm -f /workspace/group/victim /workspace/ipc/out/victim
true`,
    },
  },
  {
    id: 'search',
    area,
    says: "find another's words by searching every file that it can read",
    program: {
      language: 'bash',
      code: `
timeout 20 grep -raslE --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr -e 'planted-[0-9]+-[0-9a-f]{8}' / 2>/dev/null |
  while read -r file; do echo "OPEN $file"; done
find / -xdev \\( -name '.env' -o -name nanoclaw.db -o -name '*.sock' -o -name id_rsa -o -name diary.txt \\) 2>/dev/null |
  while read -r file; do echo "OPEN $file"; done
true`,
    },
  },
  {
    id: 'project-secrets',
    area,
    says: 'see the settings, state, history or dependencies of the project, nor change its source',
    inMain: true,
    program: {
      language: 'bash',
      code: `
project=/workspace/project
[ -f $project/package.json ] || { echo "no project to look at"; exit 1; }
for name in .env store data groups .git node_modules dist; do
  [ ! -e $project/$name ] || echo "OPEN $name is there"
done
find $project -name '.env*' -o -name '*.db' | while read -r file; do echo "OPEN $file"; done
find $project -writable | head | while read -r file; do echo "OPEN writable $file"; done
for path in $project/src/index.ts $project/package.json $project/scripts/start.mjs; do
  if (: >> $path) 2>/dev/null; then echo "OPEN $path can be written"; fi
done
if mv $project/src $project/old 2>/dev/null || touch $project/hostile 2>/dev/null; then echo "OPEN moved"; fi
for path in "$HOST_ENV_FILE" "$HOST_GROUP_FILE" "$HOST_AGENT_FILE" "$HOST_STORE_FILE" "$HOST_HOME_FILE"; do
  [ ! -e "$path" ] || echo "OPEN $path"
done
true`,
    },
  },
];
