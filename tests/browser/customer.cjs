// What a customer does on the pages, by what is written on them. Works without JavaScript in the page.
'use strict';
const assert = require('node:assert/strict');
const { pause } = require('./gateway.cjs');

const WORDS = {
  cs: {
    file: 'Soubory (nepovinné)', text: 'Vaše zpráva', contact: 'E-mail nebo telefon', reference: 'Doména, server nebo zákaznické číslo (nepovinné)', send: 'Odeslat', code: 'Kód zprávy',
    open: 'Otevřít', safe: 'Vaše zpráva je bezpečně uložená', held: 'Vaši zprávu zatím drží jeden server',
    alone: 'Tento server se teď nemůže spojit s ostatními.', problem: 'Zprávu jsme zatím neodeslali',
  },
  en: {
    file: 'Files (optional)', text: 'Your message', contact: 'E-mail or phone', reference: 'Domain, server or customer number (optional)', send: 'Send', code: 'Ticket code',
    open: 'Open', safe: 'Your message is safely stored', held: 'Your message is held on one server',
    alone: 'This server cannot reach the others right now.', problem: 'Your message has not been sent yet',
  },
};

// A form that comes back faster than this was not written by a person.
const WRITING_MS = 2_100;

class Customer {
  constructor(page, lang) {
    this.page = page;
    this.lang = lang;
    this.words = WORDS[lang];
  }

  field(name) { return this.page.getByLabel(this.words[name], { exact: typeof this.words[name] === 'string' }); }

  async visit(url) {
    const answer = await this.page.goto(`${url}/${this.lang}/`);
    assert.equal(answer.status(), 200);
    assert.equal(await this.page.locator('html').getAttribute('lang'), this.lang);
  }

  async fill({ text, contact, reference = '' }) {
    await this.field('text').fill(text);
    await this.field('contact').fill(contact);
    await this.field('reference').fill(reference);
    await pause(WRITING_MS);
  }

  async send() { await this.page.getByRole('button', { name: this.words.send }).click(); }

  async heading() { return (await this.page.getByRole('heading', { level: 1 }).innerText()).trim(); }

  async code() { return (await this.page.locator('.code').innerText()).trim(); }

  async messages() { return this.page.locator('.msg .t').allInnerTexts(); }

  async openTicket(url, code, contact) {
    await this.visit(url);
    await this.page.getByLabel(this.words.code).fill(code);
    await this.page.getByRole('button', { name: this.words.open }).click();
    assert.equal(await this.page.getByLabel(this.words.code).inputValue(), code, 'the code need not be typed again');
    await this.field('contact').fill(contact);
    await this.page.getByRole('button', { name: this.words.open }).click();
  }

  // The form as the browser would send it, so that it can be sent again or elsewhere.
  async body() {
    const value = (name) => this.page.locator(`main form:has([name=contact]) [name=${name}]`).inputValue();
    const body = {};
    for (const name of ['lang', 'token', 'text', 'contact', 'reference', 'website']) body[name] = await value(name);
    return body;
  }
}

// Posts a form as a browser does when a connection died under it, and tells where it is sent on to.
async function post(context, url, form) {
  const answer = await context.request.post(`${url}/write`, { form, maxRedirects: 0 });
  assert.equal(answer.status(), 303, await answer.text());
  return answer.headers().location;
}

module.exports = { Customer, WORDS, post };
