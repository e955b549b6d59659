"""What an auditor and a developer see."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from psycopg.types.json import Jsonb
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as condition
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.conftest import Hosts
from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

DEADLINE_SECONDS = 30
PASSWORD = "correct horse battery staple"


def test_an_auditor_logs_in_and_reads_an_event(
    browser: Chrome, live_server: LiveServer, hosts: Hosts, user_of: UserOf, store: Store
) -> None:
    user_of("auditor", password=PASSWORD, is_staff=True)
    for number in range(3):
        store(number, object_pk=str(number))
    store(
        3,
        object_repr="Dr Grace Hopper",
        actor=Jsonb({"id": "7", "repr": "m.okonkwo", "type": "user", "on_behalf_of": None}),
        actor_id="7",
        actor_repr="m.okonkwo",
        before=Jsonb({"id": 17, "email": "a@example.org", "tax_id": "***"}),
        after=Jsonb({"id": 17, "email": "b@example.org", "tax_id": "***"}),
        context=Jsonb({"method": "PATCH", "path": "/api/doctors/17/"}),
        masked=Jsonb(["tax_id"]),
        request_id="0f6e",
        remote_addr="192.0.2.7",
    )

    browser.get(f"{live_server.url}/admin/")
    browser.find_element(By.NAME, "username").send_keys("auditor")
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    browser.find_element(By.CSS_SELECTOR, "[type=submit]").click()
    _wait(browser, By.CSS_SELECTOR, "#content-main a[href='/admin/auditlog/auditlog/']").click()

    _wait(browser, By.ID, "result_list")
    rows = browser.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")
    assert len(rows) == 4
    assert "Dr Grace Hopper" in rows[3].text
    assert "user m.okonkwo (7)" in rows[3].text
    assert browser.find_elements(By.CSS_SELECTOR, ".addlink, .actions") == []

    rows[3].find_element(By.CSS_SELECTOR, "th a").click()
    shown = _wait(browser, By.ID, "auditlog_form").text
    assert 'email: "a@example.org" → "b@example.org"' in shown
    assert '"path": "/api/doctors/17/"' in shown
    assert "192.0.2.7" in shown
    assert f"{NEWEST - timedelta(minutes=3):%F %T}.000 UTC" in shown
    written = "#auditlog_form input:not([type=hidden]), #auditlog_form textarea, .submit-row input, .deletelink"
    assert browser.find_elements(By.CSS_SELECTOR, written) == []
    assert hosts() == {urlsplit(live_server.url).netloc}
    assert _complaints(browser) == []


def test_the_api_can_be_browsed_without_any_other_host(browser: Chrome, live_server: LiveServer, hosts: Hosts) -> None:
    browser.get(f"{live_server.url}/")
    _wait(browser, By.CSS_SELECTOR, ".opblock")

    assert browser.current_url == f"{live_server.url}/api/docs/"
    paths = {element.get_attribute("data-path") for element in browser.find_elements(By.CSS_SELECTOR, "[data-path]")}
    assert paths >= {
        "/api/audit/v1/events/",
        "/api/audit/v1/events/{event_id}/",
        "/api/audit/v1/objects/{model}/{object_pk}/timeline/",
        "/api/doctors/",
    }
    browser.find_element(By.CSS_SELECTOR, "[data-path='/api/audit/v1/events/']").click()
    assert "page_size" in _wait(browser, By.CSS_SELECTOR, ".opblock.is-open .parameters").text
    assert hosts() == {urlsplit(live_server.url).netloc}
    assert _complaints(browser) == []


def _wait(browser: Chrome, by: str, value: str) -> WebElement:
    found: WebElement = WebDriverWait(browser, DEADLINE_SECONDS).until(
        condition.visibility_of_element_located((by, value))
    )
    return found


def _complaints(browser: Chrome) -> list[str]:
    entries = browser.get_log("browser")  # type: ignore[no-untyped-call]
    # Browsers ask for a favicon by themselves.
    severe = [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
    return [message for message in severe if "/favicon.ico" not in message]
