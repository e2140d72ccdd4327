//! Puts GraphiQL's files into the binary, so that its page works without internet access.
//!
//! It reads `web/library.txt`, lets `web/fetch.mjs` take those files from npm where node and npm are there, and writes
//! `$OUT_DIR/graphiql_library.rs`, one expression that `src/http/graphiql.rs` includes. Without npm, or without a
//! network, it warns and the page loads the same files from a public address. It never writes into the source tree,
//! installs nothing, and runs no package's scripts.
//!
//! `ORDERPAY_BUILD_GRAPHIQL=off` leaves the step out; `=required` makes its failure the build's failure.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

const SETTING: &str = "ORDERPAY_BUILD_GRAPHIQL";
const LIBRARY: &str = "web/library.txt";
const FETCH: &str = "web/fetch.mjs";
/// Serves the files of npm packages word for word.
const PUBLIC_ADDRESS: &str = "https://cdn.jsdelivr.net/npm";

fn main() -> Result<(), Box<dyn Error>> {
    for source in ["build.rs", LIBRARY, FETCH] {
        println!("cargo:rerun-if-changed={source}");
    }
    println!("cargo:rerun-if-env-changed={SETTING}");

    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let files = read_library(&fs::read_to_string(LIBRARY)?)?;
    let embedded = match env::var_os(SETTING).unwrap_or_default().to_string_lossy().as_ref() {
        "off" => false,
        "required" => fetch(&files, &out).map(|()| true)?,
        "" => fetch(&files, &out).map_err(|reason| warn(&reason)).is_ok(),
        other => return Err(format!("{SETTING} is `off`, `required` or unset, not `{other}`").into()),
    };
    fs::write(out.join("graphiql_library.rs"), expression(&files, embedded))?;
    Ok(())
}

struct LibraryFile {
    package: String,
    version: String,
    path: String,
    integrity: String,
}

impl LibraryFile {
    /// The name under which the server serves it; it changes whenever the content does.
    fn name(&self) -> String {
        let hash: String =
            self.integrity.chars().skip("sha384-".len()).filter(char::is_ascii_alphanumeric).take(12).collect();
        let extension = Path::new(&self.path).extension().map_or("txt".into(), |extension| extension.to_string_lossy());
        format!("{}-{}-{hash}.{extension}", self.package, self.version)
    }

    fn content_type(&self) -> &'static str {
        match Path::new(&self.path).extension().and_then(|extension| extension.to_str()) {
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            _ => "text/plain; charset=utf-8",
        }
    }

    fn public_address(&self) -> String {
        format!("{PUBLIC_ADDRESS}/{}@{}/{}", self.package, self.version, self.path)
    }
}

fn read_library(text: &str) -> Result<Vec<LibraryFile>, String> {
    text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).map(read_line).collect()
}

fn read_line(line: &str) -> Result<LibraryFile, String> {
    let [package, version, path, integrity] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("{LIBRARY}: a line has four words, not: {line}"));
    };
    Ok(LibraryFile { package: package.into(), version: version.into(), path: path.into(), integrity: integrity.into() })
}

/// Leaves each file gzipped in `out`, under its name; what an earlier run left there is not fetched again.
fn fetch(files: &[LibraryFile], out: &Path) -> Result<(), String> {
    if files.iter().all(|file| out.join(file.name()).exists()) {
        return Ok(());
    }
    let mut node = Command::new("node")
        .arg(FETCH)
        .arg(out)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("node does not start: {error}"))?;
    let wanted: Vec<_> = files
        .iter()
        .map(|file| format!("{} {} {} {} {}\n", file.package, file.version, file.path, file.integrity, file.name()))
        .collect();
    // A node that ends without reading says why on its standard error, which tells more than a broken pipe.
    if let Some(mut stdin) = node.stdin.take() {
        let _ = stdin.write_all(wanted.concat().as_bytes());
    }
    let ended = node.wait_with_output().map_err(|error| format!("node does not end: {error}"))?;
    if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ended.stderr).trim().replace('\n', " ")) }
}

fn warn(reason: &str) {
    println!(
        "cargo:warning=GraphiQL is not embedded ({reason}); its page will load it from {PUBLIC_ADDRESS}. \
         To try again: touch {LIBRARY}. To build without it and without this warning: {SETTING}=off."
    );
}

/// `&[LibraryFile { … }, …]`, with the fields of the struct in `src/http/graphiql.rs`.
fn expression(files: &[LibraryFile], embedded: bool) -> String {
    let entries: String = files.iter().map(|file| entry(file, embedded)).collect();
    format!("&[\n{entries}]\n")
}

fn entry(file: &LibraryFile, embedded: bool) -> String {
    let name = file.name();
    let gzip =
        if embedded { format!("Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")))") } else { "None".into() };
    format!(
        "    LibraryFile {{ name: {name:?}, content_type: {:?}, public_address: {:?}, integrity: {:?}, gzip: {gzip} }},\n",
        file.content_type(),
        file.public_address(),
        file.integrity,
    )
}
