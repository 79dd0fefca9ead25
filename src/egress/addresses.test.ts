import { describe, expect, test } from 'vitest';
import { needsInternet } from '../../test/internet/internet.ts';
import { isPublic } from './addresses.ts';
import { parseTarget } from './web.ts';

/**
 * The first and last address of each range in IANA's registries of special and multicast addresses.
 */
const refused = {
  'this network': ['0.0.0.0', '0.255.255.255'],
  'private, class A': ['10.0.0.0', '10.255.255.255'],
  'shared, for carriers': ['100.64.0.0', '100.127.255.255'],
  loopback: ['127.0.0.0', '127.0.0.1', '127.255.255.255'],
  'link-local, with the metadata of clouds': ['169.254.0.0', '169.254.169.254', '169.254.255.255'],
  'private, class B': ['172.16.0.0', '172.31.255.255'],
  'for protocols': ['192.0.0.0', '192.0.0.8', '192.0.0.170', '192.0.0.192', '192.0.0.255'],
  'for documentation': ['192.0.2.0', '192.0.2.255', '198.51.100.0', '198.51.100.255'],
  'for documentation, the third': ['203.0.113.0', '203.0.113.255'],
  'the service of Azure for its machines': ['168.63.129.16'],
  'relays of 6to4': ['192.88.99.0', '192.88.99.2', '192.88.99.255'],
  'private, class C': ['192.168.0.0', '192.168.255.255'],
  'for benchmarks': ['198.18.0.0', '198.19.255.255'],
  multicast: ['224.0.0.0', '239.255.255.255'],
  'reserved, and broadcast': ['240.0.0.0', '255.255.255.254', '255.255.255.255'],
  'unspecified and loopback of IPv6': ['::', '::1', '0:0:0:0:0:0:0:1'],
  'IPv4 mapped': ['::ffff:0:0', '::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:8.8.8.8'],
  'IPv4 compatible and translated': ['::127.0.0.1', '::8.8.8.8', '::ffff:0:127.0.0.1'],
  'IPv4 behind NAT64': ['64:ff9b::7f00:1', '64:ff9b::808:808', '64:ff9b:1::', '64:ff9b:1:ffff::1'],
  'IPv4 inside 6to4': ['2002::', '2002:7f00:1::', '2002:a9fe:a9fe::1', '2002:ffff:ffff::1'],
  'IPv4 inside Teredo': ['2001::', '2001:0:7f00:1::1', '2001:0:ffff:ffff:ffff:ffff:ffff:ffff'],
  'for protocols of IPv6': ['2001:1::1', '2001:2::', '2001:3::', '2001:4:112::', '2001:1ff:ffff::'],
  'identifiers of hosts': ['2001:10::', '2001:1f:ffff::', '2001:20::', '2001:2f::', '2001:30::'],
  'for documentation of IPv6': [
    '2001:db8::',
    '2001:db8:ffff:ffff::1',
    '3fff::',
    '3fff:fff:ffff::1',
  ],
  'discard only': ['100::', '100::ffff:ffff:ffff:ffff', '100:0:0:1::'],
  'segment routing': ['5f00::', '5f00:ffff::1'],
  'unique local': ['fc00::', 'fd00:ec2::254', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  'link-local of IPv6': ['fe80::', 'fe80::1', 'febf:ffff::1'],
  'site-local': ['fec0::', 'feff:ffff::1'],
  'multicast of IPv6': ['ff00::', 'ff02::1', 'ffff:ffff::1'],
  'not given out': ['1::', '1fff:ffff::', '4000::', '8000::', 'e000::1'],
};

/** The neighbours of the refused ranges, and some well-known addresses. */
const allowed = `
  1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0
  126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255
  172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0
  192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255
  198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 1.1.1.1 8.8.8.8
  2000:: 2001:200:: 2001:db7:ffff::1 2001:db9:: 2001:ffff:ffff::1 2003::
  2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4001:800::200e
  3ffe:ffff::1 3fff:1000::
`
  .trim()
  .split(/\s+/);

describe('not of the public web are addresses that are', () => {
  test.each(Object.entries(refused))('%s', (_kind, addresses) => {
    expect(addresses.filter(isPublic)).toEqual([]);
  });

  test('of a network that this machine is in, whatever they look like', needsInternet, () => {
    expect(['12.0.0.0', '12.0.0.1', '12.0.0.255'].filter(isPublic)).toEqual([]);
    expect(['11.255.255.255', '12.0.1.0'].every(isPublic)).toBe(true);
  });
});

test.each(allowed)('%s is public', (address) => {
  expect(isPublic(address)).toBe(true);
});

describe('an address in disguise is read as what it is', () => {
  test.each([
    ['127.1', '127.0.0.1'],
    ['127.0.1', '127.0.0.1'],
    ['2130706433', '127.0.0.1'],
    ['0x7f000001', '127.0.0.1'],
    ['0x7F.1', '127.0.0.1'],
    ['0177.0.0.01', '127.0.0.1'],
    ['017700000001', '127.0.0.1'],
    ['0', '0.0.0.0'],
    ['127.0.0.1.', '127.0.0.1'],
    ['169.254.43518', '169.254.169.254'],
    ['0xa9fea9fe', '169.254.169.254'],
    ['[::ffff:127.0.0.1]', '::ffff:7f00:1'],
    ['[0:0:0:0:0:0:0:1]', '::1'],
    ['[::127.0.0.1]', '::7f00:1'],
  ])('%s', (disguise, address) => {
    const target = parseTarget(`${disguise}:80`);
    expect(target).toEqual({ host: address, port: 80 });
    expect(isPublic(address)).toBe(false);
  });
});

describe('no host and port are', () => {
  test.each([
    '',
    ':',
    ':80',
    '[',
    '[]',
    '[]:80',
    '[::1',
    '::1',
    '::1:80',
    '[::g]:80',
    '[127.0.0.1]:80',
    'a:b',
    'a:80:80',
    'a:65536',
    'a:-1',
    'a:99999999999',
    '256.0.0.1',
    '1.2.3.4.5',
    '0x1g.1',
    'user@a:80',
    'a b:80',
    'a/b:80',
    'a\\b:80',
    'a?b',
    'a#b',
    'a%2eb:80',
    'a\tb',
    'a\0b',
    '[fe80::1%25lo]:80',
    '[fe80::1%lo]:80',
    '。',
    '127。0。0。1:80',
    '①②⑦.0.0.1:80',
    '.',
    'a'.repeat(301),
    `${'a.'.repeat(130)}a`,
  ])('%s', (authority) => {
    expect(parseTarget(authority)).toBeUndefined();
  });
});

test('names are read without regard to case and to the root’s dot', () => {
  expect(parseTarget('WWW.Example.ORG.:443')).toEqual({ host: 'www.example.org', port: 443 });
  expect(parseTarget('example.org')).toEqual({ host: 'example.org', port: 80 });
  expect(parseTarget('xn--bcher-kva.example:443')).toMatchObject({ host: 'xn--bcher-kva.example' });
});
