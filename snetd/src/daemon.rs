// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon from its start to its end.
//!
//! Owns the order in which the parts begin, the tasks between them, and the order in which
//! they end. What each part does is its own.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libsnet::client::disabled_by_command_line;
use libsnet::types::Event;
use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::answers::Answers;
use crate::args::Args;
use crate::audit;
use crate::background::{end_rules, follow_link, look_at_stale, refresh};
use crate::compiled::{Compiled, Inputs};
use crate::config::{Config, KernelUse};
use crate::control::{Access, Bounds, Listener};
use crate::decider::{Decider, LinkState, Plan, Report, Start};
use crate::early;
use crate::ends::Ends;
use crate::journal::{Journal, now};
use crate::logging::LogLevel;
use crate::names::{Names, Observer};
use crate::policy_control::PolicyControl;
use crate::problems::{Part, Problems};
use crate::service::{self, Signals, Wish};
use crate::store::{Place, Store};
use crate::supervisors::Supervisors;

/// Events that may wait for a look at their program.
const STALE: usize = 1024;
/// For each step of stopping: longer and the service manager would end the process anyway.
const STOP_STEP: Duration = Duration::from_secs(5);

/// The running daemon.
pub(crate) struct Daemon {
    args: Args,
    config: Config,
    log_level: LogLevel,
    listener: Arc<Listener>,
    store: Store,
    /// Nothing is restored over the database meanwhile.
    _place: Option<Place>,
    policy: Arc<PolicyControl>,
    decider: Decider,
    thread: JoinHandle<()>,
    problems: Arc<Problems>,
    journal: Journal,
    reports: mpsc::Sender<Report>,
    stale: mpsc::Receiver<Box<Event>>,
    observer: Option<Observer>,
}

fn plan(config: &Config) -> Arc<Plan> {
    let (settings, watch) = (config.settings(), config.watch_set());
    let (lifetime, ask_for) = (config.tickets.lifetime.limit(), config.ask.timeout.get());
    Arc::new(Plan { settings, watch, lifetime, ask_for })
}

impl Daemon {
    /// Starts every part, with the control socket that was passed, or one of its own. When this
    /// returns, the daemon decides.
    pub(crate) async fn start(
        args: Args,
        config: Config,
        log_level: LogLevel,
        passed: Option<OwnedFd>,
    ) -> Result<Self> {
        let supervisors = Supervisors::default();
        let listener = Arc::new(listen(&config, supervisors.clone(), passed)?);
        let place = Place::shared(config.database.as_path())?;
        let store = Store::open(config.database.as_path()).await?;
        let problems = Arc::new(Problems::default());
        let (names, observer) = Names::new(Arc::clone(&problems));
        let (first, ends) = compile(&store, &config, names.clone()).await?;
        let (journal, reports) = Journal::start(&config, &store, &problems);
        let (stale, to_look_at) = mpsc::channel(STALE);
        let (decider, thread) = Decider::start(Start {
            policy: Arc::clone(&first.policy),
            generation: first.generation,
            plan: plan(&config),
            off: config.kernel == KernelUse::Off,
            reports: reports.clone(),
            stale,
            counters: Arc::clone(&journal.counters),
            supervisors,
        })?;
        first_contact(&decider, &config).await?;
        let (told, sender) = (Arc::clone(&problems), decider.clone());
        let policy = PolicyControl::new(store.clone(), sender, told, names, first, ends);
        policy.recall_unconfirmed().await?;
        Ok(Self {
            args,
            config,
            log_level,
            listener,
            store,
            _place: place,
            policy: Arc::new(policy),
            decider,
            thread,
            problems,
            journal,
            reports,
            stale: to_look_at,
            observer: Some(observer),
        })
    }

    /// Runs until a signal asks to stop, or until the decider fails.
    pub(crate) async fn run(mut self, mut signals: Signals) -> Result<()> {
        let mut tasks = self.tasks();
        service::ready();
        tracing::info!("ready: {} rules", self.policy.current().await.rules());
        let ended = loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Reload => self.reload().await,
                    Wish::Stop => break Ok(()),
                },
                // These run for ever unless what they need is gone.
                _ = tasks.join_next() => break Err(()),
            }
        };
        service::notify(&[NotifyState::Stopping]);
        // No new calls; changes under way come to their end below.
        drop(tasks);
        self.stop().await;
        if ended.is_err() {
            bail!("the decider's thread failed: held calls got the fallback");
        }
        Ok(())
    }

    fn tasks(&mut self) -> JoinSet<()> {
        let answers = Arc::new(Answers {
            store: self.store.clone(),
            policy: Arc::clone(&self.policy),
            decider: self.decider.clone(),
            watchers: Arc::clone(&self.journal.watchers),
            counters: Arc::clone(&self.journal.counters),
            problems: Arc::clone(&self.problems),
            started_at: now(),
        });
        let (_, none) = mpsc::channel(1);
        let stale = std::mem::replace(&mut self.stale, none);
        let (policy, decider) = (|| Arc::clone(&self.policy), || self.decider.clone());
        let listener = Arc::clone(&self.listener);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { listener.serve(answers).await });
        tasks.spawn(follow_link(policy(), decider(), Arc::clone(&self.problems)));
        tasks.spawn(look_at_stale(policy(), decider(), stale));
        tasks.spawn(refresh(policy()));
        if let Some(observer) = self.observer.take() {
            tasks.spawn(observer.run(policy()));
        }
        tasks.spawn(end_rules(policy(), Arc::clone(&self.problems)));
        if self.config.kernel != KernelUse::Off {
            tasks.spawn(early::keep(policy(), self.config.clone()));
        }
        let counters = Arc::clone(&self.journal.counters);
        tasks.spawn(audit::listen(decider(), self.reports.clone(), counters));
        tasks.spawn(service::feed_watchdog(decider()));
        tasks
    }

    async fn reload(&mut self) {
        service::reloading();
        match self.args.configuration() {
            Ok(config) => {
                self.problems.clear(Part::Configuration);
                self.follow(config).await;
            }
            Err(error) => {
                let told = format!("the configuration stays as it was: {error:#}");
                self.problems.set(Part::Configuration, told);
            }
        }
        let reloaded = match Inputs::of(&self.config) {
            Ok(inputs) => self.policy.reload(inputs).await,
            Err(error) => Err(error),
        };
        match reloaded {
            Ok(()) => self.problems.clear(Part::Rules),
            Err(error) => {
                self.problems.set(Part::Rules, format!("the rules stay as they were: {error:#}"));
            }
        }
        tracing::info!("reloaded: {} rules", self.policy.current().await.rules());
        service::ready();
    }

    async fn follow(&mut self, config: Config) {
        let fixed = |config: &Config| {
            let queue = config.journal.queue;
            (config.database.clone(), config.kernel, config.control.clone(), queue)
        };
        if fixed(&config) != fixed(&self.config) {
            tracing::warn!(
                "database, kernel, [control] and journal.queue follow the configuration only \
                 after a restart"
            );
        }
        self.log_level.set(config.log_level);
        self.journal.keep(&config);
        if let Err(error) = self.decider.follow(plan(&config)).await {
            let told = format!("the kernel module doesn't take the configuration: {error:#}");
            self.problems.set(Part::Configuration, told);
        }
        self.config = config;
    }

    async fn stop(mut self) {
        let in_time = |step: &str, ended: bool| {
            if !ended {
                tracing::warn!("stopping: {step} took too long and was given up");
            }
        };
        // A change that was stored is put into force before its caller loses the connection.
        let quiet = timeout(STOP_STEP, self.policy.quiesce()).await;
        in_time("a change of the rules", quiet.is_ok());
        let stopped = timeout(STOP_STEP, self.decider.stop()).await;
        in_time("unregistering", stopped.is_ok());
        if stopped.is_ok() && self.thread.join().is_err() {
            tracing::error!("the decider's thread panicked");
        }
        // The last one: the journal ends when nobody can report any more.
        drop(self.reports);
        let written = timeout(STOP_STEP, self.journal.written()).await;
        in_time("writing the journal", written.is_ok());
        let closed = timeout(STOP_STEP, self.store.close()).await;
        in_time("closing the database", closed.is_ok());
        tracing::info!("stopped");
    }
}

/// The first policy. What is over is deleted later: it may be that nothing can be written now.
pub(crate) async fn compile(
    store: &Store,
    config: &Config,
    names: Names,
) -> Result<(Compiled, Ends)> {
    let inputs = Arc::new(Inputs::of(config)?);
    let mut ends = Ends::default();
    ends.were_over(&store.over(now()).await?);
    let rules = ends.without(store.rules().await?);
    let compiled = tokio::task::spawn_blocking(move || Compiled::new(rules, inputs, names, 1));
    Ok((compiled.await.context("a worker thread failed")?, ends))
}

fn listen(config: &Config, supervisors: Supervisors, passed: Option<OwnedFd>) -> Result<Listener> {
    let control = &config.control;
    let bounds =
        Bounds { total: control.connections.size(), per_user: control.connections_per_user.size() };
    let access = Access::of_group(&control.group).knowing(supervisors);
    let path = control.socket.as_path();
    match passed {
        Some(socket) => Listener::adopt(socket, path, access, bounds),
        None => Listener::bind(path, access, bounds),
    }
}

/// Waits until the kernel has answered for the first time, and says whether the daemon may
/// go on with that answer.
async fn first_contact(decider: &Decider, config: &Config) -> Result<()> {
    let mut state = decider.state();
    let first = state.wait_for(|state| *state != LinkState::Connecting).await;
    let first = first.context("the decider's thread failed")?.clone();
    match first {
        LinkState::Lost { absent: true, .. } if config.kernel == KernelUse::Optional => Ok(()),
        LinkState::Lost { absent: true, .. } if disabled_at_boot() => {
            tracing::warn!(
                "snet.disable on the kernel's command line: rules can be changed, and no program is mediated"
            );
            Ok(())
        }
        LinkState::Lost { absent: true, why } => bail!(
            "{why}. Load it with `modprobe snet`, or set `kernel = \"optional\"` to wait for it"
        ),
        LinkState::Lost { why, .. } => bail!("can't become the decider: {why}"),
        LinkState::Connecting | LinkState::Off | LinkState::Registered(_) => Ok(()),
    }
}

/// Whether this boot is one to get a machine back that rules have locked.
fn disabled_at_boot() -> bool {
    std::fs::read_to_string("/proc/cmdline").is_ok_and(|line| disabled_by_command_line(&line))
}
