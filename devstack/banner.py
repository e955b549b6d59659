"""What somebody who just started the stack wants to know."""

from __future__ import annotations

from devstack.folder import Folder
from devstack.state import State

TEXT = """
Everything runs.

  API          {api}/api/doctors/
  Swagger UI   {api}/api/docs/
  Admin        {api}/admin/
  Audit API    {api}/api/audit/v1/events/
  Data         {data}

Demo credentials
{users}

Try
  curl -H 'Authorization: Api-Key {key}' '{api}/api/audit/v1/events/?page_size=3'
  {manage} devstack status

Ctrl-C stops everything.
"""


def banner(state: State, folder: Folder) -> str:
    """Return where to look, and with which credentials."""
    running = state.running
    demo = state.demos.get(running.database) if running else None
    users = demo.users if demo else []
    lines = [f"  {user['username']:<12} password {user['password']}" for user in users]
    keys = [user["api_key"] for user in users if user["api_key"]]
    return TEXT.format(
        api=running.api if running else "",
        data=folder.path,
        users="\n".join(lines),
        key=keys[0] if keys else "…",
        manage=f"{folder.project / '.venv/bin/python'} {folder.project / 'manage.py'}",
    )
