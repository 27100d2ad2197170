// Promises the notifiers of a folder with their credentials read, or what is wrong, where, and what to do; never a credential in a message.
// Trusts the folder: who can write there decides who is told. Specified in docs/alerts.md "A notifier".
import type { ReceiverReader } from "../../audit/export/receiver-reader.ts";
import {
  readSettings,
  readSettingsFolder,
  type SettingsIo,
  type SettingsKind,
} from "../../audit/export/settings-folder.ts";
import { type AlertFile, alertSchema } from "./alert-schema.ts";
import type { AlertSettings, AlertTarget } from "./alert-settings.ts";

const alertKind: SettingsKind<AlertFile, AlertSettings> = {
  key: "alert",
  noun: "notifier",
  option: "--alerts",
  schema: alertSchema,
  nameOf: ({ alert }) => alert,
  settings: (file, reader) => {
    const { environments = null, rules = null, severity } = file.filter;
    const { alert: name, perMinute } = file;
    return { name, filter: { environments, rules, severity }, perMinute, target: targetOf(file, reader) };
  },
};

/** Throws EstateFault when the folder cannot be read, SettingsFault when anything in it is wrong. */
export function readAlertFolder(folder: string, io: SettingsIo): readonly AlertSettings[] {
  return readSettingsFolder(alertKind, folder, io);
}

/** One file. */
export const readAlert = (name: string, text: string, io: SettingsIo) => readSettings(alertKind, { name, text }, io);

function targetOf(file: AlertFile, reader: ReceiverReader): AlertTarget {
  if (file.to === "log") return { to: "log" };
  const { allowPrivate } = file;
  if (file.to === "webhook") {
    const url = new URL(file.url);
    const place = { origin: url.origin, allowPrivate, ...reader.tls(file.tls) };
    return { to: "webhook", place, path: `${url.pathname}${url.search}`, key: reader.webhookKey(file.credential) };
  }
  const { from, recipients, user, credential } = file;
  if ((user === undefined) !== (credential === undefined))
    reader.say(["user"], "`user` and `credential` come together", "give both, or neither");
  const startTls = file.url.startsWith("smtp:");
  const place = {
    origin: new URL(file.url.replace(/^smtps?/, "https")).origin,
    ...{ allowPrivate, ...reader.tls(file.tls) },
  };
  const login =
    user === undefined || credential === undefined ? null : { user, password: reader.credential(credential) };
  return { to: "smtp", place, startTls, from, recipients, login };
}
