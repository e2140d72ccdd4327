// Fetches the files that the build embeds: takes them out of their npm packages, checks each against its
// integrity and writes it gzipped. It installs nothing, runs no package's scripts, and writes only below `folder`.
//
//   node fetch.mjs FOLDER < lines of "package version file integrity target"
import { execSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

const folder = process.argv[2];
const files = readFileSync(0, 'utf8')
  .trim()
  .split('\n')
  .map((line) => line.split(' '))
  .map(([name, version, path, integrity, target]) => ({ name, version, path, integrity, target }));

const packed = mkdtempSync(join(folder, 'npm-'));
try {
  download([...new Set(files.map((file) => `${file.name}@${file.version}`))]);
  for (const file of files) {
    const tar = gunzipSync(readFileSync(join(packed, `${file.name}-${file.version}.tgz`)));
    const content = fileIn(tar, `package/${file.path}`);
    refuseUnlessIntact(file, content);
    writeFileSync(join(folder, file.target), gzipSync(content, { level: 9 }));
  }
} catch (error) {
  console.error(String(error.stderr || error.message).trim().split('\n')[0]);
  process.exitCode = 1;
} finally {
  rmSync(packed, { recursive: true });
}

// A build must not hang on a network that swallows packets, so npm gets one try and a minute.
function download(packages) {
  execSync(`npm pack ${packages.join(' ')} --ignore-scripts --loglevel=error --fetch-retries=0 --fetch-timeout=20000`, {
    cwd: packed,
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 60_000,
  });
}

// A tar file is a row of 512-byte headers, each followed by its file's content, padded to 512 bytes.
function fileIn(tar, path) {
  for (let at = 0; at + 512 <= tar.length; ) {
    const text = (from, to) => tar.toString('latin1', at + from, at + to).split('\0')[0];
    const size = parseInt(text(124, 136), 8) || 0;
    if (text(0, 100) === path) return tar.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new Error(`no ${path} in the package`);
}

function refuseUnlessIntact({ name, version, path, integrity }, content) {
  const found = `sha384-${createHash('sha384').update(content).digest('base64')}`;
  if (found !== integrity) throw new Error(`${name}@${version}/${path} has ${found}, not ${integrity}`);
}
