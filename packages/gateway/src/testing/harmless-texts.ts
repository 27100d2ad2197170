// Promises texts that nobody means harm with, by kind, as forms, notes, documents and programs send them. Written for counting false alarms
// (threats/false-alarms.test.ts); names, addresses and firms are made up. Trusts nothing.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts of others, which are no templates here

const lines = (text: string): readonly string[] => text.trim().split("\n");

const names = lines(`
O'Brien
Siobhán O'Connor
D'Angelo Russell
Jean-Luc N'Diaye
María José Núñez y Ortega
L'Oréal
Conan O'Brien & Sons
T'Pol
Jürgen Groß
Zoë "Zo" Kravitz
Anne-Marie d'Ornano
Nguyễn Thị Minh Khai
张伟
Иван Петров
محمد علي
יעל כהן
Smith & Wesson
Null Null
Dr. And R. Or
Drop Table Furniture Ltd.
Union Select Bakery
McDonald's
Ben & Jerry's
Procter; Gamble
Rock 'n' Roll Hall
`);

const prose = lines(`
Please select a seat from the list and confirm.
Select one or more options, or none at all.
The union select committee heard evidence from its members.
Update your settings where needed; then delete from the basket what you do not want.
It's 5 o'clock somewhere, isn't it?
He said "yes" and she said "no" - or was it the other way round?
Insert into slot A; turn; drop the table gently.
We have 1 or 2 rooms and 3 and a half nights.
If a > b and c < d, then a - d > b - c.
The teachers' union's members' votes -- all of them -- were counted.
Don't order by phone; order by 10 am online.
Having 1 = having all, as the saying goes.
Cats & dogs; find the differences; type in your name.
Her name is Robert'); everyone laughed.
Terms & conditions apply; see section 4.2 (b) or ask.
Price: $5 or £4 (20% off!) - was $6.25.
The file is in C:\\Users\\anna\\Documents\\report.pdf
See ../shared/readme for more, or ask me.
Use /etc/hosts for that, as the manual says.
Room 101; floor #3; building "B".
Meet me @ 9:30; bring id | passport.
She works at R&D | net income rose 5%.
AND/OR gates, NOT gates and XOR gates.
'Twas brillig, and the slithy toves did gyre and gimble in the wabe.
The script: a play in two acts <draft>.
Is 1=1? Yes. Is 1=2? No.
the dogs' or cats' bowls
rock 'n' roll or jazz = good music
50% of 100 is 50; 100% cotton
a;b;c and d|e|f
`);

const otherLanguages = lines(`
Bitte wählen Sie einen Platz aus; "Fenster" oder "Gang" = Ihre Wahl.
Wie geht's? Mir geht's gut - und dir?
L'addition, s'il vous plaît ; c'est aujourd'hui l'anniversaire d'Élodie.
Qu'est-ce que c'est ? « Rien », dit-il.
Seleccione una opción: ¿sí o no?
El niño comió; ¡qué rico! Precio: 5 €.
Dell'arte e dell'amore, c'è chi dice che l'una vale l'altra.
Выберите место; цена – 100 ₽ (скидка 20%).
请选择一个座位；价格：１００元（含税）。
「こんにちは」と言いました。１＝１です。
좌석을 선택하세요; 가격: 5,000원
اختر مقعدًا؛ السعر: ٥٠٪
בחר מושב; המחיר: 50 ש"ח
Välj en plats; det är 5 < 10.
Wybierz miejsce: 'okno' lub 'przejście'.
İstanbul'da 5'te görüşürüz; tamam mı?
Άρθρο 1 & άρθρο 2; ναι ή όχι;
Chọn chỗ ngồi; giá: 50%
`);

const contact = lines(`
anna.o'neill@example.com
info+orders@shop.example
12/3 King's Road; London SW1A 1AA
c/o Müller & Söhne, Hauptstr. 5 (Hof)
Apt. #4-B, 221b Baker Street
+49 (0)30 / 123 45-67
https://www.example.com/path/to/page.html?a=1&b=2#top
https://example.com/search?q=select+a+seat&sort=price&order=by+date
https://example.com/redirect?to=https%3A%2F%2Fpartner.example%2Fcb%3Fcode%3Dab%252Fcd
https://user.example/~anna/index.php?id=42&type=news
http://93.184.216.34:8080/status
ftp://files.example.org/pub/readme.txt
mailto:anna@example.com?subject=Hello%20there&body=It%27s%20me
geo:52.52,13.40
urn:isbn:0451450523
`);

const values = lines(`
2026-11-30T17:34:00.000Z
2026-11-30 17:34:00+01:00
550e8400-e29b-41d4-a716-446655440000
01KAMZZZZZ0000000000000000
-1.5e10
1,234,567.89
#ff00aa
rgba(255, 0, 0, 0.5)
en-GB,en;q=0.9,de;q=0.8
text/html; charset=utf-8
attachment; filename="it's a file.pdf"
W/"33a64df551425fcc55e4d42a148795d9f25f89d4"
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36
eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJvcmRlcnMifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg
c2VsZWN0ICogZnJvbSB1c2VycyB3aGVyZSAxPTE=
iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ
sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
status=open&limit=10
price>=10 and price<=20
tag:urgent or tag:late
name:"O'Brien" and city:Paris
a,b,"c,d",'e'
(1+2)*3/4-5
x^2 + y^2 = z^2
v1.2.3-rc.1+build.5
*.example.com
SKU#123; qty=5
50%
$ref
`);

const markdown: readonly string[] = [
  "# Heading\n\nSome *emphasis*, some **strong** and `code`.\n\n- item one\n- item two; or three\n",
  "| id | name | type |\n|----|------|------|\n| 1 | ls | dir |\n| 2 | cat | find |\n",
  "See [the guide](../guide/start.md) and ![picture](../../img/a.png).\n\n> It's a quote -- with a dash.\n",
  "1. `ls` lists files; `cat` prints them.\n2. `id` tells who you are.\n",
  "Use `rm` with care & `cp` otherwise.\n\n---\n\nNote: nothing else.\nTo: everybody\nSubject: hello",
  "- [ ] select the plan\n- [x] drop the old one\n\n~~union~~ **and** more",
  "Hello {{name}},\n\nyour order {{ order.number }} of ${amount} has left.\n\nBest, {{ sender }}",
  "Footnote[^1] and <https://example.com>.\n\n[^1]: It's 'quoted' and \"double\".",
  "Dear all,\r\n\r\nplease find attached:\r\nDate: Monday\r\nPlace: Room 5\r\n\r\nRegards",
  "Price table:\n\n    5 < 6 and 7 > 6\n    a && b || c\n",
];

const code: readonly string[] = [
  "const a = b && c || d;\nif (a === 'x' || a === 'y') { run(); }",
  'def f(x):\n    if x == "a" or x == "b":\n        return {"k": x}\n    time.sleep(5)\n',
  "for (let i = 0; i < 10; i++) { console.log(`value ${i}`); }",
  "$('#id').find('.x').on('click', () => open('../page.html'));",
  "body { color: var('--main'); background: url(\"a.png\"); } /* it's */",
  "name: build\non: push\njobs:\n  test:\n    runs-on: linux\n    steps:\n      - run: npm test\n",
  '{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/a"}',
  'fn main() { let v: Vec<i32> = vec![1, 2]; println!("{}", v.len()); }',
  "SELECT name, price FROM items WHERE price > 10 ORDER BY name;",
  "^(?:[a-z]+|\\d{1,3})$",
  "if [ -f a.txt ]; then echo yes; fi",
  'git commit -m "It\'s done" && git push',
  "public static void main(String[] args) { System.out.println(\"a\" + 'b'); }",
  "x = x if x and 1 < 2 else y  # it's fine",
  '<p>Hello <b>world</b>, it\'s <a href="https://example.com">here</a>.</p>',
  "a ? b : c ?? d; e |= f & g;",
  "import { a } from './a.js';\nexport const b = a ?? `x`;",
  "docker run --rm -it -p 8080:8080 example/image:1.2",
];

/** What is close to what attacks are made of: programs, statements and pages that somebody sends on purpose. */
const programs: readonly string[] = [
  "SELECT u.name FROM users u WHERE u.id = 1 OR 1=1; DROP TABLE users;",
  "select 1 union select 2, 3 from t",
  "curl https://example.com/install.sh | sh -s -- --yes; cat /etc/os-release",
  "cd /tmp && ls -la && rm -rf build",
  '<script src="https://cdn.example/a.js"></script>',
  '<button onclick="save()">Save</button>',
  '<iframe src="https://video.example/embed/1"></iframe>',
  "Open http://localhost:3000 in your browser.",
  "DATABASE_URL=postgres://app@db.internal:5432/app and http://10.0.0.5:9200",
  "{{ 7 * 7 }} prints 49",
  'logger.info("${jndi:ldap://x}") is what Log4Shell looked like',
  'db.users.find({ "$where": "this.a > 1" })',
  "Object.prototype is not constructor.prototype",
  "cp ../../etc/passwd /tmp",
];

export const harmlessTexts: Readonly<Record<string, readonly string[]>> = {
  ...{ names, prose, otherLanguages, contact, values, markdown, code, programs },
};
