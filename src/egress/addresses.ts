/**
 * Tells which addresses belong to the public web. All others are refused: loopback, private,
 * link-local (with the metadata services of clouds), reserved, and this machine's own networks.
 */
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/** Addresses that IANA registers as special and not globally reachable, and multicast. */
const special = [
  // https://www.iana.org/assignments/iana-ipv4-special-registry
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  // Azure's service for its virtual machines. The address looks public.
  // https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
  '168.63.129.16/32',
  // https://www.iana.org/assignments/iana-ipv6-special-registry
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
];
/** The only IPv6 addresses that are routed. */
const routedIpv6 = listOf(['2000::/3']);
const notPublic = listOf(special);

/** `address` must be one that `isIP` accepts. */
export function isPublic(address: string): boolean {
  const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
  if (family === 'ipv6' && !routedIpv6.check(address, family)) return false;
  return !notPublic.check(address, family) && !ownNetworks().check(address, family);
}

/** This machine's networks, read each time, since they may change. */
function ownNetworks(): BlockList {
  const interfaces = Object.values(networkInterfaces()).flatMap((some) => some ?? []);
  return listOf(interfaces.flatMap(({ cidr }) => cidr ?? []));
}

function listOf(subnets: string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = '', bits] = subnet.split('/');
    list.addSubnet(address, Number(bits), isIP(address) === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}
