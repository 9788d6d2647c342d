// The nodes under test: found or started, killed and started again by their process ids. Nothing else is touched.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const START_MS = 60_000;
const STOP_MS = 20_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Waits until `look` gives something; fails with the sentence after `ms`.
async function until(sentence, ms, look) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${ms} ms: ${sentence}`);
    await pause(100);
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

class Gateway {
  constructor(nodes, demo, folder, operators = []) {
    this.nodes = nodes;
    // Who can sign in to the console.
    this.operators = operators;
    this.demo = demo;
    this.folder = folder;
    this.started = [];
  }

  static async find({ demo, urls }) {
    if (urls) return new Gateway(urls.split(',').map((https) => ({ https: https.replace(/\/$/, '') })));
    if (demo) return new Gateway(read(demo).nodes, undefined, undefined, read(demo).operators);
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lifeboat-browser-'));
    const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
    const log = fs.openSync(path.join(folder, 'demo.log'), 'w');
    // A range of ports of its own, so that a demo that somebody looks at meanwhile is not in the way; below those from
    // which the system takes ports for connections.
    const ports = String(20_000 + (process.pid % 120) * 100);
    const demoFolder = path.join(folder, 'demo');
    const child = spawn(program, ['demo', '--dir', demoFolder, '--port-base', ports], { stdio: ['ignore', log, log] });
    const file = path.join(demoFolder, 'demo.json');
    try {
      const nodes = await until('the demo writes its demo.json', START_MS, () => {
        if (child.exitCode !== null) throw new Error(`the demo ended: ${fs.readFileSync(path.join(folder, 'demo.log'), 'utf8')}`);
        return fs.existsSync(file) && read(file).nodes;
      });
      return new Gateway(nodes, child, folder, read(file).operators);
    } catch (error) {
      child.kill('SIGINT');
      throw error;
    }
  }

  url(at) { return this.nodes[at % this.nodes.length].https.replace(/\/$/, ''); }

  canKill() { return this.nodes.length >= 3 && this.nodes.every((node) => node.pid && node.config); }

  // kill -9: the node gets no chance to tidy up.
  async kill(at) {
    const node = this.nodes[at];
    process.kill(node.pid, 'SIGKILL');
    await until(`process ${node.pid} is gone`, STOP_MS, () => !isAlive(node.pid) || isZombie(node.pid));
  }

  start(at) {
    const node = this.nodes[at];
    const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
    const child = spawn(program, ['run', '--config', node.config], { stdio: 'ignore' });
    this.started.push(child);
    node.pid = child.pid;
  }

  // Starts it where it is not alive.
  revive(at) {
    const { pid } = this.nodes[at];
    if (!isAlive(pid) || isZombie(pid)) this.start(at);
  }

  async stop() {
    for (const child of this.started) child.kill('SIGTERM');
    if (!this.demo) return;
    this.demo.kill('SIGINT');
    await until('the demo stops', STOP_MS, () => this.demo.exitCode !== null || this.demo.signalCode !== null)
      .catch(() => this.demo.kill('SIGKILL'));
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

// A killed child of the demo stays in the process table until the demo looks. Its files and ports are free when the last
// of its threads has ended, which may be later than its first.
function isZombie(pid) {
  try {
    const state = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1];
    return state.startsWith('Z') && fs.readdirSync(`/proc/${pid}/task`).length <= 1;
  } catch {
    return true;
  }
}

function read(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return {};
  }
}

module.exports = { Gateway, until, pause };
