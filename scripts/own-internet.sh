#!/bin/sh
# Runs node, $NANOCLAW_TEST_NODE, with these arguments in a network namespace of its own, in which
# every address leads to this machine and any user may listen on any port. Nothing goes out of it.
# Stays one process: signals and the channel to the parent reach node itself.
set -e

if [ "$1" != --inside ]; then
  if [ "$(id -u)" = 0 ]; then exec unshare --net "$0" --inside "$@"; fi
  exec unshare --user --map-current-user --keep-caps --net "$0" --inside "$@"
fi
shift

if [ -n "$(ip -oneline link show up)" ]; then
  echo 'this is no new network namespace, and nobody may cut the machine off' >&2
  exit 1
fi
ip link set lo up
# Routes, not addresses: os.networkInterfaces() still shows the loopback alone ...
ip route add local default dev lo
ip -6 route add local default dev lo
# ... and one address that looks public but is this machine's own, as in many a house.
ip address add 12.0.0.1/24 dev lo
echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind # in IPv4 a local route is enough
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start

export NANOCLAW_TEST_INTERNET=1
exec setpriv --ambient-caps -all --inh-caps -all "$NANOCLAW_TEST_NODE" "$@"
