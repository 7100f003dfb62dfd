// @xmpp/client against a running cluster: login, a message to oneself, a ping, close. usage: node xmpp-client.mjs SERVICE
// Run in the folder that has node_modules; certificates are not checked.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');
const require = createRequire(path.join(process.cwd(), 'x.js'));
const { client, xml } = await import(pathToFileURL(require.resolve('@xmpp/client')));
const service = process.argv[2];

setTimeout(() => { console.error('timed out'); process.exit(1); }, 20000).unref();
const x = client({ service, domain: 'localhost', username: 'npmuser', password: 'secret' });
x.on('error', (error) => console.error(String(error)));
x.reconnect.stop();
const me = await x.start();
const text = `loop ${Math.random()}`;
const got = new Promise((yes) => x.on('stanza', (s) => s.is('message') && s.getChildText('body') === text && yes()));
await x.send(xml('presence'));
await x.send(xml('message', { to: me.toString(), type: 'chat' }, xml('body', {}, text)));
await got;
await x.iqCaller.get(xml('ping', 'urn:xmpp:ping'), 'localhost', 5000);
await x.stop();
console.log(`${service}: fine`);
process.exit(0);
