// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection: reads calls, asks the controller, writes replies in their order.
//!
//! Must not hold anything that another connection needs while it waits for its own peer.

use std::io;
use std::sync::Arc;

use libsnet::control::{Call, ErrorReply, JournalEntry, MAX_REPLY, Reply};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::role::{Access, Peer};
use super::varlink::{Request, encode_error, encode_reply, read_message, write_message};
use super::{Controller, Decisions, parts, service};

/// A connection and whose it is.
pub(super) struct Session<C> {
    pub(super) peer: Peer,
    pub(super) access: Arc<Access>,
    pub(super) controller: Arc<C>,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl<C: Controller> Session<C> {
    pub(super) fn new(
        stream: UnixStream,
        peer: Peer,
        access: Arc<Access>,
        controller: Arc<C>,
    ) -> Self {
        let (reader, writer) = stream.into_split();
        Self { peer, access, controller, reader: BufReader::new(reader), writer }
    }

    /// Serves until the peer closes, or breaks the rules of Varlink.
    pub(super) async fn run(self) {
        let uid = self.peer.uid;
        // Whatever ends a connection only concerns the peer, who sees it end.
        if let Err(error) = self.serve().await {
            tracing::debug!("control connection of uid {uid} ended: {error}");
        }
    }

    async fn serve(mut self) -> io::Result<()> {
        let longest = Access::longest_call(self.peer);
        while let Some(message) = read_message(&mut self.reader, longest).await? {
            let Some(request) = Request::parse(&message) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "no Varlink call"));
            };
            if request.upgrade && request.is_supervise() {
                match self.may_supervise(request).await {
                    Ok(()) => return self.hand_over().await,
                    Err(error) => {
                        let message = encode_error(&error)?;
                        write_message(&mut self.writer, message, false).await?;
                    }
                }
            } else {
                self.answer(request).await?;
            }
        }
        Ok(())
    }

    async fn may_supervise(&self, request: Request) -> Result<(), ErrorReply> {
        let call = request.into_call()?;
        self.access.check(self.peer, &call).await
    }

    /// Gives the connection away: from here on it speaks another protocol.
    async fn hand_over(self) -> io::Result<()> {
        if !self.reader.buffer().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "sent before the answer"));
        }
        let stream = self.reader.into_inner().reunite(self.writer).map_err(io::Error::other)?;
        self.controller.supervise(stream.into_std()?).await
    }

    async fn answer(&mut self, request: Request) -> io::Result<()> {
        let (more, oneway) = (request.more, request.oneway);
        let answered = if request.upgrade {
            Err(ErrorReply::InvalidParameter { parameter: "upgrade".to_owned() })
        } else if request.interface() == service::SERVICE {
            match service::answer(request) {
                Ok(reply) if !oneway => return self.reply(&reply, false).await,
                Ok(_) => return Ok(()),
                Err(error) => Err(error),
            }
        } else if request.interface() == libsnet::control::INTERFACE {
            self.call(request).await
        } else {
            Err(ErrorReply::InterfaceNotFound { interface: request.interface().to_owned() })
        };
        match answered {
            _ if oneway => Ok(()),
            Ok(Answer::Reply(reply)) => self.reply_in_parts(reply, more).await,
            Ok(Answer::Stream(decisions)) => self.stream(decisions).await,
            Err(error) => write_message(&mut self.writer, encode_error(&error)?, false).await,
        }
    }

    async fn call(&self, request: Request) -> Result<Answer, ErrorReply> {
        let (more, oneway) = (request.more, request.oneway);
        let call = request.into_call()?;
        self.access.check(self.peer, &call).await?;
        match call {
            Call::Watch {} if !more => Err(ErrorReply::ExpectedMore {}),
            Call::Watch {} if oneway => Err(ErrorReply::InvalidParameter {
                parameter: "oneway: a stream has replies".to_owned(),
            }),
            Call::Watch {} => Ok(Answer::Stream(self.controller.watch())),
            Call::Supervise {} => Err(ErrorReply::InvalidParameter {
                parameter: "upgrade: it is needed here".to_owned(),
            }),
            call => self.controller.call(self.peer.uid, call).await.map(Answer::Reply),
        }
    }

    async fn reply_in_parts(&mut self, reply: Reply, more: bool) -> io::Result<()> {
        if !more {
            return self.reply(&reply, false).await;
        }
        let parts = parts::split(reply);
        let last = parts.len().saturating_sub(1);
        for (number, part) in parts.iter().enumerate() {
            self.reply(part, number < last).await?;
        }
        Ok(())
    }

    async fn reply(&mut self, reply: &impl Serialize, continues: bool) -> io::Result<()> {
        let mut message = encode_reply(reply, continues)?;
        if message.len() > MAX_REPLY {
            message = encode_error(&ErrorReply::Failed {
                reason: format!(
                    "the reply is longer than {MAX_REPLY} bytes: call with 'more' to get it in parts"
                ),
            })?;
        }
        write_message(&mut self.writer, message, false).await
    }

    /// Sends decisions until the peer goes. A slow peer holds up nobody: its queue fills,
    /// and what doesn't fit is counted as missed.
    async fn stream(&mut self, mut decisions: Decisions) -> io::Result<()> {
        // A call behind the stream stays unread; only the end of the connection matters.
        let mut listening = true;
        loop {
            tokio::select! {
                decision = decisions.recv() => {
                    // The daemon stops: the connection ends with it.
                    let Some((entry, missed)) = decision else { return Ok(()) };
                    let decided = Box::new(JournalEntry::clone(&entry));
                    let message = encode_reply(&Reply::Decided { decided, missed }, true)?;
                    write_message(&mut self.writer, message, true).await?;
                }
                buffer = self.reader.fill_buf(), if listening => {
                    if buffer?.is_empty() {
                        return Ok(());
                    }
                    listening = false;
                }
            }
        }
    }
}

/// What the controller gave for a call.
enum Answer {
    Reply(Reply),
    Stream(Decisions),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc;

    /// Answers `Status` and `ListRules`, and streams what the test sends.
    struct Fixed(std::sync::Mutex<Option<Decisions>>);

    impl Controller for Fixed {
        async fn call(&self, uid: u32, call: Call) -> Result<Reply, ErrorReply> {
            match call {
                Call::RevokeTickets { .. } => Ok(Reply::Revoked { revoked: uid.into() }),
                _ => Err(ErrorReply::NotFound { kind: "rule".into(), id: 1 }),
            }
        }
        fn watch(&self) -> Decisions {
            self.0.lock().unwrap().take().unwrap()
        }
        async fn supervise(&self, mut stream: std::os::unix::net::UnixStream) -> io::Result<()> {
            stream.set_nonblocking(false)?;
            std::io::Write::write_all(&mut stream, b"{\"other\":1}\0")
        }
    }

    struct Client(BufReader<UnixStream>);

    impl Client {
        fn connect(decisions: Option<Decisions>) -> Self {
            let (client, server) = UnixStream::pair().unwrap();
            let controller = Arc::new(Fixed(std::sync::Mutex::new(decisions)));
            let peer = Peer { uid: 0, gid: 0, supervised: false };
            let access = Arc::new(Access::of_group(""));
            tokio::spawn(Session::new(server, peer, access, controller).run());
            Self(BufReader::new(client))
        }
        async fn send(&mut self, text: &str) {
            self.0.write_all(text.as_bytes()).await.unwrap();
            self.0.write_all(b"\0").await.unwrap();
        }
        async fn receive(&mut self) -> Value {
            serde_json::from_slice(&read_message(&mut self.0, MAX_REPLY).await.unwrap().unwrap())
                .unwrap()
        }
        async fn ask(&mut self, request: Value) -> Value {
            self.send(&request.to_string()).await;
            self.receive().await
        }
    }

    fn entry() -> Arc<JournalEntry> {
        let entry = json!({
            "id": null, "time": 1, "verdict": "deny", "source": "no-rule", "rule": null,
            "tgid": 7, "uid": 0, "comm": "nc", "exe": null, "operation": "connect",
            "protocol": "tcp", "remote": "192.0.2.1:80", "local": null,
        });
        Arc::new(serde_json::from_value(entry).unwrap())
    }

    #[tokio::test]
    async fn answers_in_order_what_was_sent_at_once() {
        let mut client = Client::connect(None);
        let revoke = r#"{"method":"io.snet.Control.RevokeTickets"}"#;
        client.send(&format!("{revoke}\0{{\"method\":\"a.b.C\"}}\0{revoke}")).await;
        assert_eq!(client.receive().await, json!({"parameters": {"revoked": 0}}));
        let error = client.receive().await;
        assert_eq!(error["error"], "org.varlink.service.InterfaceNotFound");
        assert_eq!(error["parameters"]["interface"], "a.b");
        assert_eq!(client.receive().await, json!({"parameters": {"revoked": 0}}));
    }

    #[tokio::test]
    async fn each_kind_of_wrong_call_is_answered() {
        let mut client = Client::connect(None);
        for (request, error) in [
            (json!({"method": "io.snet.Control.Nope"}), "org.varlink.service.MethodNotFound"),
            (json!({"method": "nonsense"}), "org.varlink.service.InterfaceNotFound"),
            (json!({"method": "io.snet.Control.Watch"}), "org.varlink.service.ExpectedMore"),
            (json!({"method": "io.snet.Control.ShowRule"}), "org.varlink.service.InvalidParameter"),
            (
                json!({"method": "io.snet.Control.Status", "upgrade": true}),
                "org.varlink.service.InvalidParameter",
            ),
            (
                json!({"method": "io.snet.Control.ShowRule", "parameters": {"id": 1}}),
                "io.snet.Control.NotFound",
            ),
            (
                json!({"method": "org.varlink.service.GetInterfaceDescription",
                    "parameters": {"interface": "x.y"}}),
                "org.varlink.service.InterfaceNotFound",
            ),
        ] {
            assert_eq!(client.ask(request).await["error"], error);
        }
    }

    #[tokio::test]
    async fn a_connection_is_given_away_to_supervise() {
        let mut client = Client::connect(None);
        let call = json!({"method": "io.snet.Control.Supervise"});
        let plain = client.ask(call.clone()).await;
        assert_eq!(plain["error"], "org.varlink.service.InvalidParameter");
        let mut call = call;
        call["upgrade"] = true.into();
        assert_eq!(client.ask(call).await, json!({"other": 1}));
    }

    #[tokio::test]
    async fn oneway_is_done_and_not_answered() {
        let mut client = Client::connect(None);
        client.send(r#"{"method":"io.snet.Control.Nope","oneway":true}"#).await;
        client.send(r#"{"method":"org.varlink.service.GetInfo","oneway":true}"#).await;
        let reply = client.ask(json!({"method": "io.snet.Control.RevokeTickets"})).await;
        assert_eq!(reply, json!({"parameters": {"revoked": 0}}));
    }

    #[tokio::test]
    async fn garbage_closes_after_what_came_before_it_was_answered() {
        let mut client = Client::connect(None);
        client.send("{\"method\":\"io.snet.Control.RevokeTickets\"}\0\u{1}garbage").await;
        assert_eq!(client.receive().await, json!({"parameters": {"revoked": 0}}));
        assert_eq!(read_message(&mut client.0, MAX_REPLY).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_stream_goes_on_until_its_reader_goes() {
        let (sender, decisions) = mpsc::channel(4);
        let mut client = Client::connect(Some(decisions));
        client.send(r#"{"method":"io.snet.Control.Watch","more":true}"#).await;
        sender.send((entry(), 3)).await.unwrap();
        let reply = client.receive().await;
        assert_eq!(reply["continues"], true);
        assert_eq!(reply["parameters"]["missed"], 3);
        assert_eq!(reply["parameters"]["decided"]["remote"], "192.0.2.1:80");
        drop(client);
        sender.closed().await;
    }

    #[tokio::test]
    async fn introspection_needs_no_role_and_tells_the_truth() {
        let mut client = Client::connect(None);
        let info = client.ask(json!({"method": "org.varlink.service.GetInfo"})).await;
        assert_eq!(info["parameters"]["interfaces"][1], "io.snet.Control");
        let description = client
            .ask(json!({"method": "org.varlink.service.GetInterfaceDescription",
                "parameters": {"interface": "io.snet.Control"}}))
            .await;
        assert_eq!(description["parameters"]["description"], libsnet::control::DESCRIPTION);
    }
}
