//! Servers that give back what they were sent: a web page with the header fields of its request, a PostgreSQL that quotes
//! the password in its refusal. They end with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn serve(exchange: fn(TcpStream) -> std::io::Result<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || exchange(stream));
        }
    });
    at
}

/// Gives the field `x-key` back in a field, in the body, and in a JSON value where a reader who shortens it cuts it in two.
pub fn echo() -> String {
    serve(|mut stream| {
        let mut lines = BufReader::new(stream.try_clone()?);
        let (mut line, mut key, mut length) = (String::new(), String::new(), 0);
        while lines.read_line(&mut line)? > 0 && !line.trim().is_empty() {
            if let Some((name, value)) = line.trim().split_once(": ") {
                match name.to_ascii_lowercase().as_str() {
                    "x-key" => value.clone_into(&mut key),
                    "content-length" => length = value.parse().unwrap_or(0),
                    _ => {}
                }
            }
            line.clear();
        }
        lines.read_exact(&mut vec![0; length])?;
        let cut = format!("{}{key}", "x".repeat(199 - key.len() * 3 / 4));
        let coded = STANDARD.encode(format!("u{key}"));
        let body = serde_json::json!({ "at-the-cut": cut, "coded": coded, "plain": key, &key: 1 }).to_string();
        write!(stream, "HTTP/1.1 500 No\r\nx-echo: {key}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    })
}

/// Wants a password in clear, and refuses it in words that hold it.
pub fn postgres() -> String {
    serve(|mut stream| {
        message(&mut stream, false)?;
        stream.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3])?;
        let password = message(&mut stream, true)?;
        let password = String::from_utf8_lossy(&password).trim_end_matches('\0').to_owned();
        let text = format!("password {password} ({}) is wrong", STANDARD.encode(&password));
        let fields = format!("SFATAL\0VFATAL\0C28P01\0M{text}\0\0");
        stream.write_all(b"E")?;
        stream.write_all(&u32::try_from(fields.len() + 4).unwrap().to_be_bytes())?;
        stream.write_all(fields.as_bytes())
    })
}

fn message(stream: &mut TcpStream, tagged: bool) -> std::io::Result<Vec<u8>> {
    stream.read_exact(&mut vec![0; usize::from(tagged)])?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body)?;
    Ok(body)
}
