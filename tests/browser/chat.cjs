// A customer and an agent who talk, each in a real browser and at different nodes, while nodes die under both: nothing
// lost, nothing doubled, the same order for both. The same without JavaScript, and what the pages look like.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { code, looksRight: consoleLooksRight } = require('./console.cjs');
const { Customer } = require('./customer.cjs');
const { until, pause } = require('./gateway.cjs');
const { looksRight } = require('./looks.cjs');

const SEEN_MS = 20_000;
// A node that is gone is noticed at once, one that only says nothing after 35 s.
const FOUND_MS = 70_000;
const AGENT = { viewport: { width: 390, height: 800 }, ignoreHTTPSErrors: true, locale: 'en-GB' };

// Customers' names for what they read: the texts in the list, as both sides show them.
const texts = (page) => page.locator('.msg > li:not(.note) .t').allInnerTexts();

async function chat(checks, browser, gateway, pictures) {
  // By address, as the console's own links name the other servers: what signs in at one is then known at all.
  const nodes = gateway.nodes.map((it) => ({ ...it, console: it.console.replace('localhost', '127.0.0.1') }));
  const lifeboat = (...words) => {
    const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
    return JSON.parse(execFileSync(program, [...words, '--json', '--config', gateway.nodes[2].config]));
  };
  const operator = gateway.operators.find((it) => it.name === 'agent');
  const agents = await browser.newContext(AGENT);
  let agent = await agents.newPage();
  const customers = await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', viewport: { width: 390, height: 800 } });
  const customer = new Customer(await customers.newPage(), 'en');
  const said = [];
  let ticket;
  let where;
  let shown;

  const both = (what) => until(what, FOUND_MS, async () =>
    same(await texts(customer.page), said) && same(await texts(agent).catch(() => []), said));
  const says = async (text) => {
    await customer.page.locator('#text').fill(text);
    await customer.page.getByRole('button', { name: 'Send' }).click();
    said.push(text);
  };
  const answers = async (text) => {
    await agent.locator('#answer').fill(text);
    await agent.getByRole('button', { name: 'Send', exact: true }).click();
    said.push(text);
  };

  await checks.check('chat: what a customer writes appears in the inbox of an agent on another node by itself', async () => {
    await agent.goto(`${nodes[1].console}/sign-in`);
    await agent.locator('#name').fill(operator.name);
    await agent.locator('#password').fill(operator.password);
    await agent.locator('#code').fill(code(operator.totp_secret));
    await agent.locator('main form button').click();
    await agent.getByRole('link', { name: 'Inbox' }).click();
    await customer.visit(gateway.url(0));
    await customer.fill({ text: 'Is my shop lost?', contact: 'jana@example.com' });
    await customer.send();
    said.push('Is my shop lost?');
    ticket = await customer.code();
    await customer.page.getByText('Connected. Answers appear here by themselves.').waitFor({ timeout: SEEN_MS });
    await agent.getByRole('link', { name: ticket }).click({ timeout: SEEN_MS });
    await agent.getByRole('heading', { name: ticket }).waitFor();
    where = new URL(agent.url()).pathname;
  });
  if (!where) return;

  await checks.check('chat: the customer sees that it was seen, both see each other\'s words, nobody reloads', async () => {
    await customer.page.getByText('seen by support').first().waitFor({ timeout: SEEN_MS });
    await customer.page.getByText('Somebody is reading your conversation now.').waitFor({ timeout: SEEN_MS });
    await customer.page.evaluate(() => { globalThis.neverReloaded = true; });
    await answers('No, it is safe.');
    await both('the answer is on both pages');
    await says('And the mail?');
    await both('the question is on both pages');
    assert.ok(await customer.page.evaluate(() => globalThis.neverReloaded), 'the page was loaded anew');
  });

  await checks.check('chat: somebody else answered meanwhile: the agent is told, nothing typed is lost, Send sends it then', async () => {
    await agent.locator('#answer').fill('Mail comes back first.');
    lifeboat('conversations', 'answer', ticket, 'We do not know yet.');
    said.push('We do not know yet.');
    await both('the other answer is on both pages');
    await agent.getByRole('button', { name: 'Send', exact: true }).click();
    await agent.getByText('local answered while you were writing.').waitFor({ timeout: SEEN_MS });
    assert.equal(await agent.locator('#answer').inputValue(), 'Mail comes back first.');
    await agent.getByRole('button', { name: 'Send', exact: true }).click();
    said.push('Mail comes back first.');
    await both('then it is sent');
  });

  await checks.check('chat: a note is for agents; tags, a colleague and one answer to all', async () => {
    await agent.locator('#note').fill('He is the brother of the boss.');
    await agent.getByRole('button', { name: 'Keep the note' }).click();
    await agent.getByText('note, customers never see it').waitFor({ timeout: SEEN_MS });
    await agent.locator('#tag').fill('mail');
    await agent.getByRole('button', { name: 'Add' }).click();
    await agent.getByRole('button', { name: 'I take it' }).click();
    await agent.getByText('agent has it').waitFor({ timeout: SEEN_MS });
    await agent.getByRole('link', { name: 'mail', exact: true }).click();
    await agent.locator('#text-en').fill('Dear {ticket}, mail is back.');
    await agent.locator('#count').fill('7');
    await agent.getByRole('button', { name: 'Answer all' }).click();
    await agent.getByText('count: found 7').or(agent.getByText('found 7;')).first().waitFor({ timeout: SEEN_MS });
    await agent.locator('#count').fill('1');
    await agent.getByRole('button', { name: 'Answer all' }).click();
    said.push(`Dear ${ticket}, mail is back.`);
    await agent.goto(`${nodes[1].console}${where}`);
    await both('everybody with the tag has it');
    const shown = await customer.page.locator('body').innerText();
    assert.ok(!shown.includes('brother'), 'the customer reads a note');
  });

  await checks.check('chat: while an answer is on its way its words stand still, and a note that is begun stays', async () => {
    let letGo;
    const held = new Promise((done) => { letGo = done; });
    await agent.route(`**${where}`, async (route) => {
      if (route.request().method() === 'POST') await held;
      await route.continue();
    });
    await agent.locator('#note').fill('Call the boss');
    await answers('The line is slow.');
    assert.equal(await agent.locator('#answer').isEditable(), false);
    assert.ok(await agent.getByRole('button', { name: 'Send', exact: true }).isDisabled());
    letGo();
    await both('the answer is on both pages');
    await until('the next can be written', SEEN_MS, () => agent.locator('#answer').isEditable());
    assert.equal(await agent.locator('#answer').inputValue(), '');
    assert.equal(await agent.locator('#note').inputValue(), 'Call the boss');
    await agent.unroute(`**${where}`);
    await agent.locator('#note').fill('');
  });

  await checks.check('chat: a picture goes with a message and a log with an answer, both come back byte for byte, nobody reloads', async () => {
    await customer.field('file').setInputFiles({ name: 'screen.exe', mimeType: 'text/html', buffer: PICTURE });
    await says('It looks like this.');
    await both('the message is on both pages');
    await until('the customer is told that it is safe', SEEN_MS, async () =>
      (await customer.heading()) === customer.words.safe && /screen\.exe\.png/.test(await customer.page.locator('.msg').innerText()));
    assert.deepEqual(await saved(customer.page.getByRole('link', { name: /screen\.exe\.png/ })), PICTURE);
    await agent.getByText('screen.exe.png').first().waitFor({ timeout: SEEN_MS });
    assert.deepEqual(await saved(agent.getByRole('link', { name: 'screen.exe.png', exact: true })), PICTURE);
    await agent.locator('#file').setInputFiles({ name: 'power.log', mimeType: 'text/plain', buffer: Buffer.from('one\ntwo\n') });
    await answers('This is what happened.');
    await both('the answer is on both pages');
    const link = customer.page.getByRole('link', { name: /power\.log/ });
    await link.waitFor({ timeout: SEEN_MS });
    assert.equal((await saved(link)).toString(), 'one\ntwo\n');
    assert.ok(await customer.page.evaluate(() => globalThis.neverReloaded), 'the page was loaded anew');
  });

  await checks.check('chat: an agent asks to see a picture, and it is shown on a page of its own', async () => {
    const page = await agents.newPage();
    await page.goto(`${nodes[1].console}${where}`);
    await page.getByRole('link', { name: /show screen\.exe\.png/ }).click();
    const picture = page.locator('img.shown');
    await until('it is drawn', SEEN_MS, () => picture.evaluate((it) => it.complete && it.naturalWidth === 1));
    shown = new URL(page.url()).pathname;
    await page.close();
  });

  await checks.check('chat: a file of another kind is not taken, the words come back, and why is said', async () => {
    await customer.field('file').setInputFiles({ name: 'setup.exe', mimeType: 'image/png', buffer: Buffer.from('MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00') });
    await customer.page.locator('#text').fill('and this');
    await customer.page.getByRole('button', { name: 'Send' }).click();
    await customer.page.getByText(/setup\.exe is none of the kinds/).waitFor({ timeout: SEEN_MS });
    assert.equal(await customer.page.locator('#text').inputValue(), 'and this');
    await customer.page.locator('#text').fill('');
  });

  // From here on each check goes on with the nodes and words of the one before, so that the first that fails is the last.
  let whole = true;
  const then = async (sentence, work) => {
    if (whole) whole = await checks.check(sentence, work);
    else console.log(`     left out: ${sentence}`);
  };
  await then('p1: 20 messages while the customer\'s node is killed: 0 lost, 0 doubled, the same order for both', async () => {
    for (let turn = 1; turn <= 10; turn += 1) {
      if (turn === 4) await gateway.kill(0);
      await says(`customer ${turn}`);
      await both(`customer ${turn} is on both pages`);
      await answers(`agent ${turn}`);
      await both(`agent ${turn} is on both pages`);
    }
    assert.ok(await customer.page.evaluate(() => globalThis.neverReloaded), 'the page was loaded anew');
  });

  await then('p1: the agent\'s node is killed in the middle of a sentence: it goes on at another one, with the sentence', async () => {
    gateway.start(0);
    await until('three agree again', FOUND_MS, () => lifeboat('status').agreement.voters_reached === 3);
    await agent.locator('#answer').fill('We will call you');
    await gateway.kill(1);
    await agent.getByRole('button', { name: 'Send', exact: true }).click();
    await agent.getByText('This server does not answer.').waitFor({ timeout: SEEN_MS });
    await says('Still there?');
    const [other] = await Promise.all([agents.waitForEvent('page'), agent.locator('#lost a').last().click({ timeout: SEEN_MS })]);
    await agent.close();
    agent = other;
    await until('the sentence came along', SEEN_MS, async () => (await agent.locator('#answer').inputValue()) === 'We will call you');
    await until('what the customer wrote is there', FOUND_MS, async () => same(await texts(agent), said));
    await agent.getByRole('button', { name: 'Send', exact: true }).click();
    said.push('We will call you');
    await both('both go on');
    gateway.start(1);
  });

  await then('p3: a lone node carries both sides, says that it holds it, and all is there once when the others are back', async () => {
    await until('three agree again', FOUND_MS, () => lifeboat('status').agreement.voters_reached === 3);
    const lone = new URL(agent.url()).origin;
    const stays = nodes.findIndex((it) => it.console === lone);
    for (const at of nodes.keys()) if (at !== stays) await gateway.kill(at);
    await says('Are you alone?');
    await customer.page.getByText('held here, not passed on yet').first().waitFor({ timeout: FOUND_MS });
    await until('the agent reads it', FOUND_MS, async () => same(await texts(agent), said));
    await answers('Yes, but we write on.');
    await agent.getByText('is held on this node').waitFor({ timeout: SEEN_MS });
    await until('the customer reads it', FOUND_MS, async () => same(await texts(customer.page), said));
    for (const at of nodes.keys()) if (at !== stays) gateway.start(at);
    await until('nothing is held any more', FOUND_MS, async () =>
      (await customer.page.getByText('held here, not passed on yet').count()) === 0);
    await both('everything is on both pages');
    await until('three agree again', FOUND_MS, () => lifeboat('status').agreement.voters_reached === 3);
    for (const node of nodes) {
      const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
      await until(`${node.name} has all of it once`, FOUND_MS, () => {
        const shown = JSON.parse(execFileSync(program, ['conversations', 'show', ticket, '--json', '--config', node.config]));
        return same(shown.messages.map((it) => it.text), said);
      });
    }
  });

  await then('p1: a node that falls silent with open lines is left for another one, and an answer arrives all the same', async () => {
    // The page is at the node whose address it was loaded from, or went on at the next of them.
    await customer.page.reload();
    await customer.page.getByText('Connected. Answers appear here by themselves.').waitFor({ timeout: SEEN_MS });
    const silent = gateway.nodes.find((it) => it.https.includes(new URL(customer.page.url()).host));
    process.kill(silent.pid, 'SIGSTOP');
    try {
      const other = gateway.nodes.find((it) => it !== silent);
      const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
      await until('an answer is agreed on', FOUND_MS, () => {
        try {
          execFileSync(program, ['conversations', 'answer', ticket, 'We are still here.', '--config', other.config], { stdio: 'ignore' });
          return true;
        } catch { return false; }
      });
      said.push('We are still here.');
      await until('it is on the customer\'s page', FOUND_MS, async () => same(await texts(customer.page), said));
    } finally {
      process.kill(silent.pid, 'SIGCONT');
    }
  });

  await then('chat: what was typed and not sent is there again after the page was closed', async () => {
    await customer.page.locator('#text').fill('half a sen');
    const address = customer.page.url();
    await customer.page.close();
    customer.page = await customers.newPage();
    await customer.page.goto(address);
    assert.equal(await customer.page.locator('#text').inputValue(), 'half a sen');
  });

  await then('chat without JavaScript: what is new comes into the page by itself and takes nothing typed with it', () =>
    withoutScript(browser, gateway, lifeboat));
  // What comes after the chat finds all nodes alive.
  if (!whole) for (const at of nodes.keys()) gateway.revive(at);

  const state = await agents.storageState();
  for (const lang of ['cs', 'en']) {
    await checks.check(`chat ${lang}: axe finds nothing, 320 px suffice, targets are large, by day and by night`, () =>
      looksRight(browser, { lang, name: 'chat', pictures, arrive: (it) => it.page.goto(`${customer.page.url().split('?')[0]}?lang=${lang}`) }));
    for (const [name, at] of Object.entries({ inbox: '/inbox?list=open&tag=mail', talk: where, prepared: '/prepared', picture: shown })) {
      await checks.check(`console ${lang}, ${name}: axe finds nothing, 320 px suffice, targets are large, by day and by night`, () =>
        consoleLooksRight(browser, nodes, { lang, name, where: at, state, pictures }));
    }
  }
  await agents.close();
  await customers.close();
}

// One green dot.
const PICTURE = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

// What a link saves.
async function saved(link) {
  const [download] = await Promise.all([link.page().waitForEvent('download'), link.click()]);
  return fs.readFileSync(await download.path());
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

async function withoutScript(browser, gateway, lifeboat) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false });
  const customer = new Customer(await context.newPage(), 'en');
  await customer.visit(gateway.url(2));
  await customer.fill({ text: 'I have a very old telephone.', contact: 'petr@example.com' });
  const wrong = { name: 'page.html', mimeType: 'image/png', buffer: Buffer.from([1, 2, 3]) };
  await customer.field('file').setInputFiles([wrong, { name: 'dot.png', mimeType: 'image/png', buffer: PICTURE }]);
  await customer.send();
  await customer.page.getByRole('alert').getByText(/page\.html is none of the kinds/).waitFor();
  await customer.page.getByRole('alert').getByText(/browsers forget them: dot\.png/).waitFor();
  assert.equal(await customer.field('text').inputValue(), 'I have a very old telephone.');
  await customer.field('file').setInputFiles({ name: 'dot.png', mimeType: 'image/png', buffer: PICTURE });
  await customer.send();
  assert.deepEqual(await saved(customer.page.getByRole('link', { name: /dot\.png/ })), PICTURE);
  const ticket = await customer.code();
  await customer.page.locator('#text').fill('I am still typing');
  const frame = customer.page.frameLocator('iframe');
  await frame.getByText('Nothing new yet.').waitFor({ timeout: SEEN_MS });
  lifeboat('conversations', 'answer', ticket, 'It suffices.');
  await frame.getByText('It suffices.').waitFor({ timeout: 45_000 });
  assert.equal(await customer.page.locator('#text').inputValue(), 'I am still typing');
  await customer.send();
  assert.deepEqual(await customer.messages(), ['I have a very old telephone.', 'It suffices.', 'I am still typing']);
  await pause(1);
  await context.close();
}

module.exports = { chat };
