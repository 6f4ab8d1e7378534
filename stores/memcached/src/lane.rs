//! A connection that is opened when it is needed, and again after it was closed.

use std::sync::{Arc, Mutex, PoisonError};

use sessile_store::StoreError;
use tokio::{net::TcpStream, sync::Notify};

use crate::{
    connection::Connection,
    meta::{Commands, Reply},
};

/// One connection to the server at a time.
pub(crate) struct Lane {
    address: String,
    connection: Mutex<Option<Connection>>,
    /// Held while a connection is opened, so that calls open only one.
    opening: tokio::sync::Mutex<()>,
}

impl Lane {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            connection: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// Sends commands and waits for their replies. A caller that stops waiting closes the
    /// connection.
    pub(crate) async fn call(&self, commands: &Commands) -> Result<Vec<Reply>, StoreError> {
        let connection = self.connection().await?;
        connection.call(commands).await
    }

    /// Opens a connection in place of the current one.
    pub(crate) async fn open(&self, lost: Arc<Notify>) -> Result<Connection, StoreError> {
        self.close();
        let socket = TcpStream::connect(&self.address).await.map_err(|error| {
            let text = format!("the connection failed ({})", error.kind());
            StoreError::Unreachable(text.into())
        })?;
        // A socket that is broken already is met by the first call.
        let _ = socket.set_nodelay(true);
        let connection = Connection::start(socket, lost);
        *self.slot() = Some(connection.clone());
        Ok(connection)
    }

    /// Returns the connection, if there is one.
    pub(crate) fn current(&self) -> Option<Connection> {
        self.slot()
            .clone()
            .filter(|connection| !connection.is_closed())
    }

    /// Closes the connection, if there is one.
    pub(crate) fn close(&self) {
        if let Some(connection) = self.slot().take() {
            connection.close();
        }
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let _opening = self.opening.lock().await;
        match self.current() {
            Some(connection) => Ok(connection),
            None => self.open(Arc::default()).await,
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
