//! The stream below a connection: opening it, frames in, frames out.

use bytes::{Buf, Bytes, BytesMut};
use handover_wire::{
    API_VERSIONS_FIRST, FrameLimit, Negotiated, Offer, SPOKEN, decode_api_versions,
    encode_api_versions,
};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::ClientConfig;
use crate::error::ConnectionError;

/// The answer to ApiVersions is small: a peer that announces more than this is no broker.
const HANDSHAKE_LIMIT: FrameLimit = FrameLimit::new(1 << 20);

/// The least that a buffer grows by.
const READ: usize = 16 << 10;

/// What is reserved at most because a frame announces it.
const TRUSTED: usize = 1 << 20;

const SOFTWARE: (&str, &str) = ("handover", env!("CARGO_PKG_VERSION"));

/// Connects and asks for the broker's versions, within the time allowed for both. Gives the frames
/// too: what came behind the versions is in their buffer already.
pub(crate) async fn open(
    address: &str,
    config: &ClientConfig,
) -> Result<(TcpStream, Frames, Negotiated), ConnectionError> {
    let opening = async {
        let unreachable = |error: io::Error| ConnectionError::Unreachable {
            address: address.to_owned(),
            kind: error.kind(),
        };
        let mut stream = TcpStream::connect(address).await.map_err(unreachable)?;
        // A request is written in one piece, so waiting for more would only delay it.
        stream.set_nodelay(true)?;
        let mut frames = Frames { buffer: BytesMut::new(), limit: HANDSHAKE_LIMIT };
        let versions = negotiate(&mut stream, &mut frames, &config.client_id).await?;
        frames.limit = FrameLimit::new(config.max_answer_bytes);
        Ok((stream, frames, versions))
    };
    let after = config.connect_timeout;
    timeout(after, opening).await.unwrap_or_else(|_| {
        Err(ConnectionError::ConnectTimedOut { address: address.to_owned(), after })
    })
}

/// Asks for the versions that the broker speaks, again with an older version if it does not know
/// the one that was asked with (KIP-511).
async fn negotiate<S>(
    stream: &mut S,
    frames: &mut Frames,
    client_id: &str,
) -> Result<Negotiated, ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut version = API_VERSIONS_FIRST;
    loop {
        let id = i32::from(version);
        let request = encode_api_versions(version, id, Some(client_id), SOFTWARE)?;
        write_all(stream, request, || ()).await?;
        let answer = frames.next(stream).await?;
        match decode_api_versions(answer, version, id)? {
            Offer::Versions(offered) => return Ok(Negotiated::new(SPOKEN, &offered)),
            // Always a lower one, so this ends.
            Offer::AskWith(known) => version = known,
            Offer::Refused(error) => return Err(ConnectionError::Handshake(error)),
        }
    }
}

/// Writes all of `frame`; `started` is told once the first byte of it was taken.
pub(crate) async fn write_all<W>(
    write: &mut W,
    mut frame: Bytes,
    started: impl FnOnce(),
) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let mut started = Some(started);
    while frame.has_remaining() {
        if write.write_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if let Some(started) = started.take() {
            started();
        }
    }
    write.flush().await
}

/// Frames out of a stream. The buffer grows with what arrives, whatever is announced.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: BytesMut,
    limit: FrameLimit,
}

impl Frames {
    /// The next frame, without its length. Cancel safe: what was read of it stays here.
    pub(crate) async fn next<R>(&mut self, read: &mut R) -> Result<Bytes, ConnectionError>
    where
        R: AsyncRead + Unpin,
    {
        loop {
            if let Some(frame) = self.limit.split(&mut self.buffer)? {
                return Ok(frame);
            }
            let held = self.buffer.len();
            let announced = self.limit.announced(&self.buffer)?.unwrap_or(0);
            // As much again as has come, so that a large frame is moved a few times only.
            let missing = (announced + 4).saturating_sub(held);
            self.buffer.reserve(missing.max(READ).min(held.max(TRUSTED)));
            if read.read_buf(&mut self.buffer).await? == 0 {
                return Err(ConnectionError::ClosedByPeer { of_answer: held });
            }
        }
    }
}
