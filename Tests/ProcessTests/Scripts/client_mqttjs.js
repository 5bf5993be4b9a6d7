// mqtt.js in the client matrix; the contract is in client_harness.py.
'use strict'

const fs = require('fs')
const mqtt = require('mqtt')

const [url, version, prefix, ...features] = process.argv.slice(2)
const isV5 = version === '5.0'
const MILLISECONDS = 20000
const BACKLOG = 100
const SHARED = 60
const large = Buffer.alloc(1 << 20, Buffer.from(Array.from({ length: 256 }, (_, i) => i)))

function equal (found, expected, what) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)]
  if (left !== right) throw new Error(`${what}: ${left.slice(0, 200)} instead of ${right.slice(0, 200)}`)
}

function within (promise, what) {
  let timer
  const limit = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${MILLISECONDS} ms`)), MILLISECONDS)
  })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}

class Client {
  static async open (name, { clean = true, will } = {}) {
    const client = new Client()
    const options = {
      protocolVersion: isV5 ? 5 : 4, clientId: `${prefix}-${name}`, clean, will, reconnectPeriod: 0, keepalive: 60,
      // Without it a session that is resumed has its messages before anybody listens.
      properties: isV5 && !clean ? { sessionExpiryInterval: 300 } : undefined
    }
    if (process.env.HEADEND_CA) options.ca = fs.readFileSync(process.env.HEADEND_CA)
    if (process.env.HEADEND_CERTIFICATE) {
      options.cert = fs.readFileSync(process.env.HEADEND_CERTIFICATE)
      options.key = fs.readFileSync(process.env.HEADEND_KEY)
    }
    client.waiting = []
    client.messages = []
    client.client = mqtt.connect(url, options)
    client.client.on('message', (topic, payload, packet) => {
      client.messages.push({ topic, payload, packet })
      client.waiting.splice(0).forEach(wake => wake())
    })
    client.ended = new Promise(resolve => client.client.once('close', resolve))
    const connack = await within(new Promise((resolve, reject) => {
      client.client.once('connect', resolve)
      client.client.once('error', reject)
    }), 'CONNACK')
    client.client.on('error', () => {})
    client.sessionPresent = connack.sessionPresent
    return client
  }

  call (name, ...words) {
    const done = new Promise((resolve, reject) => {
      this.client[name](...words, (error, result) => error ? reject(error) : resolve(result))
    })
    return within(done, name)
  }

  async subscribe (topic, qos = 1) {
    const granted = await this.call('subscribe', topic, { qos })
    equal(granted.map(entry => entry.qos), [qos], `granted for ${topic}`)
  }

  publish (topic, payload, options = {}) {
    return this.call('publish', topic, payload, { qos: 1, ...options })
  }

  async next (count = 1) {
    const end = Date.now() + MILLISECONDS
    while (this.messages.length < count) {
      if (Date.now() > end) throw new Error(`${this.messages.length} of ${count} messages`)
      await new Promise(resolve => {
        this.waiting.push(resolve)
        setTimeout(resolve, 100)
      })
    }
    return this.messages.splice(0, count)
  }

  async texts (count) { return (await this.next(count)).map(message => message.payload.toString()) }

  async close () { await this.call('end', false, {}) }

  async cut () {
    this.client.stream.destroy()
    await within(this.ended, 'end')
  }
}

const scenarios = {
  async qos () {
    const sender = await Client.open('sender')
    for (let wanted = 0; wanted < 3; wanted++) {
      const receiver = await Client.open(`receiver${wanted}`)
      await receiver.subscribe(`${prefix}/qos/#`, wanted)
      for (let given = 0; given < 3; given++) {
        await sender.publish(`${prefix}/qos/${given}`, `${wanted}${given}`, { qos: given })
        const [{ topic, payload, packet }] = await receiver.next()
        equal([topic, payload.toString(), packet.qos, packet.retain],
          [`${prefix}/qos/${given}`, `${wanted}${given}`, Math.min(wanted, given), false], 'message')
      }
      await receiver.close()
    }
    await sender.close()
  },

  async retained () {
    const sender = await Client.open('sender')
    const receiver = await Client.open('receiver')
    await sender.publish(`${prefix}/retained`, 'kept', { retain: true })
    await receiver.subscribe(`${prefix}/retained`)
    const [first] = await receiver.next()
    equal([first.payload.toString(), first.packet.retain], ['kept', true], 'retained message')
    await sender.publish(`${prefix}/retained`, '', { retain: true })
    const [last] = await receiver.next()
    equal([last.payload.length, last.packet.retain], [0, false], 'its end')
    await receiver.close()
    await sender.close()
  },

  async will () {
    const watcher = await Client.open('watcher')
    await watcher.subscribe(`${prefix}/will`)
    const will = payload => ({ topic: `${prefix}/will`, payload, qos: 1, retain: false })
    await (await Client.open('polite', { will: will('polite') })).close()
    await (await Client.open('cut', { will: will('cut') })).cut()
    equal(await watcher.texts(1), ['cut'], 'will')
    await watcher.close()
  },

  async resume () {
    await (await Client.open('resumed')).close()
    let receiver = await Client.open('resumed', { clean: false })
    equal(receiver.sessionPresent, false, 'session of a new client')
    await receiver.subscribe(`${prefix}/resume`, 2)
    await receiver.close()
    const sender = await Client.open('sender')
    const expected = Array.from({ length: BACKLOG }, (_, number) => `${number}`)
    for (const text of expected) {
      await sender.publish(`${prefix}/resume`, text, { qos: 1 + Number(text) % 2 })
    }
    receiver = await Client.open('resumed', { clean: false })
    equal(receiver.sessionPresent, true, 'session after the pause')
    const found = await receiver.texts(BACKLOG)
    for (const first of [0, 1]) {
      const own = text => Number(text) % 2 === first
      equal(found.filter(own), expected.filter(own), `backlog at QoS ${first + 1}`)
    }
    await receiver.close()
    await sender.close()
    await (await Client.open('resumed')).close()
  },

  async large () {
    const sender = await Client.open('sender')
    const receiver = await Client.open('receiver')
    await receiver.subscribe(`${prefix}/large`)
    const start = Date.now()
    await sender.publish(`${prefix}/large`, large)
    equal((await receiver.next())[0].payload.equals(large), true, '1 MiB came back the same')
    // The aim is a second; the machine of a test may be busy.
    equal(Date.now() - start < 5000, true, '1 MiB took less than 5 s')
    await receiver.close()
    await sender.close()
  },

  async shared () {
    const sender = await Client.open('sender')
    const members = [await Client.open('member0'), await Client.open('member1')]
    for (const member of members) await member.subscribe(`$share/g/${prefix}/shared`)
    const expected = Array.from({ length: SHARED }, (_, number) => `${number}`)
    for (const text of expected) await sender.publish(`${prefix}/shared`, text)
    const end = Date.now() + MILLISECONDS
    const count = () => members[0].messages.length + members[1].messages.length
    while (count() < SHARED && Date.now() < end) await new Promise(resolve => setTimeout(resolve, 5))
    equal(members.every(member => member.messages.length > 0), true, 'both members had some')
    const found = members.flatMap(member => member.messages.map(message => message.payload.toString()))
    equal(found.sort(), expected.sort(), 'each message once')
    for (const client of [...members, sender]) await client.close()
  },

  async request () {
    if (!isV5) return '3.1.1 has no response topic'
    const answerer = await Client.open('answerer')
    const asker = await Client.open('asker')
    await answerer.subscribe(`${prefix}/request`)
    await asker.subscribe(`${prefix}/answer`)
    const correlationData = Buffer.from([1, 0, 255])
    await asker.publish(`${prefix}/request`, 'ask',
      { properties: { responseTopic: `${prefix}/answer`, correlationData } })
    const [got] = await answerer.next()
    await answerer.publish(got.packet.properties.responseTopic, got.payload + '!',
      { properties: { correlationData: got.packet.properties.correlationData } })
    const [answer] = await asker.next()
    equal([answer.payload.toString(), [...answer.packet.properties.correlationData]], ['ask!', [1, 0, 255]], 'answer')
    await answerer.close()
    await asker.close()
  },

  async telemetry () {
    const sender = await Client.open('sender')
    const reading = number => `{"id":"${prefix}-${number}","value":${number}}`
    for (let round = 0; round < 2; round++) {
      for (let number = 0; number < 5; number++) {
        await sender.publish(`devices/${prefix}/telemetry`, reading(number), { qos: number % 3 })
      }
    }
    // QoS 0 has no acknowledgement of its own; what is behind it in the connection has.
    await sender.publish(`devices/${prefix}/telemetry`, reading(5))
    await sender.close()
  }
}

async function main () {
  for (const feature of features) {
    try {
      const whyNot = await scenarios[feature]()
      console.log(whyNot ? `none ${feature}: ${whyNot}` : `ok ${feature}`)
    } catch (error) {
      const place = (error.stack || '').match(/client_mqttjs\.js:(\d+)/g) || []
      console.log(`FAILED ${feature}: ${String(error.message).replace(/\n/g, ' ')} (${place.pop()})`)
    }
  }
  // What a failed feature left open does not keep it.
  process.exit(0)
}

main()
