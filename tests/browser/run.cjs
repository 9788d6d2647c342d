// The customer's journey in a real browser, against real nodes: with and without JavaScript, in both languages, by day
// and by night, and with nodes that are killed on the way. Prints one line a check; exits 1 if one failed.
//
//   node tests/browser/run.cjs                      starts `$LIFEBOAT demo` in a throw-away folder and stops it again
//   node tests/browser/run.cjs --demo D/demo.json   drives a demo that runs already; nodes of it are killed and restarted
//   node tests/browser/run.cjs --urls URL,URL       only what needs no killing
//   ... --pictures FOLDER                           also keeps pictures of every page, to be looked at
//   ... --only chat                                 parts, with commas between: looks, journey, incidents, console, night, drills, chat or survival
//
// Needs playwright-core and axe-core in NODE_PATH (tests/run puts them into target/browser) and Chromium at $CHROMIUM.
'use strict';
const { chromium } = require('playwright-core');
const { chat } = require('./chat.cjs');
const { operators } = require('./console.cjs');
const { drills } = require('./drills.cjs');
const { Gateway } = require('./gateway.cjs');
const { incidents } = require('./incidents.cjs');
const { journey } = require('./journey.cjs');
const { looks } = require('./looks.cjs');
const { mine } = require('./mine.cjs');
const { night } = require('./night.cjs');
const { survival } = require('./survival.cjs');

const CHROMIUM_ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

// Runs checks one after another; a failed one does not hide the next.
class Checks {
  constructor(browser) { this.browser = browser; this.passed = 0; this.failed = 0; }

  // Whether it passed.
  async check(sentence, work) {
    const started = Date.now();
    try {
      await work();
      this.passed += 1;
      console.log(`ok   ${sentence} (${Date.now() - started} ms)`);
      return true;
    } catch (error) {
      this.failed += 1;
      console.log(`FAIL ${sentence}\n     ${String(error.stack || error).split('\n').slice(0, 12).join('\n     ')}`);
      await this.shown();
      return false;
    }
  }

  // What the pages show that are open when a check fails.
  async shown() {
    for (const page of this.browser.contexts().flatMap((context) => context.pages())) {
      const text = await page.locator('body').innerText({ timeout: 2_000 }).catch((error) => String(error).split('\n')[0]);
      console.log(`     ${page.url()}: ${text.replace(/\s+/g, ' ').slice(0, 600)}`);
    }
  }
}

function option(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
}

async function main() {
  const gateway = await Gateway.find({ demo: option('--demo'), urls: option('--urls') });
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: CHROMIUM_ARGS });
  const checks = new Checks(browser);
  try {
    const pictures = option('--pictures');
    const plays = (part) => (option('--only') ?? part).split(',').includes(part);
    if (plays('looks')) await looks(checks, browser, gateway, pictures);
    if (plays('journey')) for (const javaScriptEnabled of [false, true]) await journey(checks, browser, gateway, javaScriptEnabled);
    const kills = gateway.canKill();
    const signsIn = gateway.operators.length > 0;
    if (!kills) console.log('     nobody can speak for the company and nothing may be killed here: incidents, chat and survival were left out');
    if (!signsIn) console.log('     nobody can sign in here: the console and chat were left out');
    // Before anything real happens, as while an incident goes on no drill begins.
    if (plays('drills') && kills && signsIn) await drills(checks, browser, gateway, pictures);
    if (plays('incidents') && kills) await incidents(checks, browser, gateway, pictures);
    if (plays('mine') && kills) await mine(checks, browser, gateway, pictures);
    if (plays('console') && signsIn) await operators(checks, browser, gateway, pictures);
    if (plays('night') && kills && signsIn) await night(checks, browser, gateway, pictures);
    if (plays('chat') && kills && signsIn) await chat(checks, browser, gateway, pictures);
    if (plays('survival') && kills) await survival(checks, browser, gateway, pictures);
  } finally {
    await browser.close();
    await gateway.stop();
  }
  console.log(`${checks.passed} passed, ${checks.failed} failed`);
  process.exitCode = checks.failed ? 1 : 0;
}

main().catch((error) => { console.error(error); process.exitCode = 1; });
