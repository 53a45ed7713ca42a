// The npm package bittorrent-dht by words on lines: the commands and answers of dht_lt.py.
//
//   UNCHOKE_PEERS_NPM=FOLDER node dht_js.mjs [--join IP:PORT] IP:PORT...
//
// FOLDER holds the package's node_modules. The signatures of BEP 44, which the package leaves to its user, are made
// and checked by Node's own crypto.
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const folder = join(process.env.UNCHOKE_PEERS_NPM, 'node_modules', 'bittorrent-dht', 'index.js')
const { Client: DHT } = await import(pathToFileURL(folder))

// RFC 8410: what stands before the 32 bytes of a secret and of a public key in their DER forms.
const SECRET = Buffer.from('302e020100300506032b657004220420', 'hex')
const PUBLIC = Buffer.from('302a300506032b6570032100', 'hex')

const unhex = text => (text === '-' ? Buffer.alloc(0) : Buffer.from(text, 'hex'))
const endpoint = text => ({ host: text.split(':')[0], port: Number(text.split(':')[1]) })
const bytes = value => Buffer.from(value).toString('hex') || '-'

function isGood (signature, message, key) {
  const der = Buffer.concat([PUBLIC, Buffer.from(key)])
  return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature)
}

async function start (address, known) {
  const { host, port } = endpoint(address)
  const dht = new DHT({ bootstrap: known, verify: isGood })
  dht.on('error', error => console.error(address, error))
  dht.on('announce', (peer, hash) => console.log('ANNOUNCE', bytes(hash)))
  dht.listen(port, host)
  await new Promise(resolve => dht.once('ready', resolve))
  return dht
}

const args = process.argv.slice(2)
const known = args[0] === '--join' ? [args[1]] : []
const addresses = args[0] === '--join' ? args.slice(2) : args
const dht = await start(addresses[0], known)
for (const address of addresses.slice(1)) await start(address, [addresses[0]])

// The package calls back with an error when nobody stored it.
const done = (resolve, answer) => (error, ...rest) => resolve(error ? `error ${error.message}` : answer(...rest))

const commands = {
  'get-peers': hash => new Promise(resolve => {
    const found = new Set()
    const note = ({ host, port }, of) => { if (bytes(of) === hash) found.add(`${host}:${port}`) }
    dht.on('peer', note)
    dht.lookup(hash, () => {
      dht.off('peer', note)
      resolve(['peers', ...[...found].sort()].join(' '))
    })
  }),
  announce: (hash, port) => new Promise(resolve => dht.announce(hash, Number(port), done(resolve, () => 'stored'))),
  put: value => new Promise(resolve => {
    dht.put({ v: unhex(value) }, done(resolve, key => `stored ${bytes(key)}`))
  }),
  get: target => new Promise(resolve => {
    dht.get(target, { cache: false }, done(resolve, item => (item ? `value ${bytes(item.v)}` : 'none')))
  }),
  'put-mutable': (seed, key, salt, seq, value) => new Promise(resolve => {
    const secret = createPrivateKey({ key: Buffer.concat([SECRET, unhex(seed)]), format: 'der', type: 'pkcs8' })
    const item = { v: unhex(value), k: unhex(key), seq: Number(seq), sign: message => sign(null, message, secret) }
    if (salt !== '-') item.salt = unhex(salt)
    dht.put(item, done(resolve, target => `stored ${bytes(target)}`))
  }),
  'get-mutable': (key, salt) => new Promise(resolve => {
    const target = createHash('sha1').update(unhex(key)).update(unhex(salt)).digest()
    const options = salt === '-' ? { cache: false } : { cache: false, salt: unhex(salt) }
    dht.get(target, options, done(resolve, item => (item ? `value ${item.seq} ${bytes(item.v)}` : 'none')))
  })
}

console.log('READY')
for await (const line of createInterface({ input: process.stdin })) {
  const [number, word, ...rest] = line.split(' ')
  let answer
  try {
    answer = commands[word] ? await commands[word](...rest) : 'error no such command'
  } catch (error) {
    answer = `error ${error.message}`
  }
  console.log(number, answer)
}
process.exit(0)
