"""Examples of the OpenAPI document: each shape of the domain, written by hand."""

from __future__ import annotations

from typing import Any

from auditlog.api.documents import with_examples

WRITTEN = {"created_at": "2026-11-02T08:00:00Z", "updated_at": "2026-11-23T09:05:00.000001Z"}
CARD = {
    "id": 17,
    "slug": "ada-byron",
    "npi": "1003000126",
    "first_name": "Ada",
    "last_name": "Byron",
    "credential": "MD",
    "is_active": True,
    "department": "CARD",
    "specialties": ["Cardiology"],
}
COMPONENTS: dict[str, Any] = {
    "Appointment": {
        "id": 501,
        "doctor": 17,
        "patient": 42,
        "start": "2026-12-01T09:00:00Z",
        "end": "2026-12-01T09:30:00Z",
        "status": "scheduled",
        "reason": "Annual check",
        "cancellation_reason": "",
        "notes": "",
        **WRITTEN,
    },
    "Cancellation": {"reason": "The patient called."},
    "Card": CARD,
    "CardPage": {"count": 1, "results": [CARD]},
    "Department": {"id": 3, "code": "CARD", "name": "Cardiology", "head": 17, "is_active": True},
    "Doctor": {
        "id": 17,
        "first_name": "Ada",
        "last_name": "Byron",
        "credential": "MD",
        "gender": "F",
        "email": "ada.byron@example.org",
        "slug": "ada-byron",
        "license_number": "CT-004711",
        "npi": "1003000126",
        "phone": "2025550142",
        "photo": None,
        "is_active": True,
        "graduation_year": 2001,
        "hire_date": "2010-09-01",
        "consultation_fee": "120.50",
        "tax_id": "900-70-0001",
        "search_tags": ["byron"],
        "department": 3,
        "departments": [3],
        "specialties": [9],
        **WRITTEN,
    },
    "DoctorProfile": {
        "id": 17,
        "doctor": 17,
        "languages": ["en", "fr"],
        "website": "https://example.org/ada-byron",
        "statement": "I take my time.",
        "accepts_new_patients": True,
    },
    "Patient": {
        "id": 42,
        "first_name": "Noor",
        "last_name": "Haddad",
        "date_of_birth": "1984-02-29",
        "email": "noor.haddad@example.org",
        "phone": "2025550154",
        "ssn": "900-70-0002",
        **WRITTEN,
    },
    "PracticeLocation": {
        "id": 8,
        "doctor": 17,
        "adrs_id": "CT065120001",
        "address_line_1": "1 Elm Street",
        "address_line_2": "",
        "city": "New Haven",
        "state": "CT",
        "zip": "06512",
        "phone": "2025550199",
    },
    "Specialty": {"id": 9, "name": "Cardiology", "description": "Heart and vessels"},
    "PatchedAppointment": {"notes": "Brings earlier results."},
    "PatchedDepartment": {"name": "Cardiology and vessels"},
    "PatchedDoctor": {"phone": "2025550143"},
    "PatchedDoctorProfile": {"accepts_new_patients": False},
    "PatchedPatient": {"phone": "2025550155"},
    "PatchedPracticeLocation": {"phone": "2025550198"},
    "PatchedSpecialty": {"description": "Heart, vessels, and rhythm"},
}


def add_examples(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Show each shape of the domain."""
    return with_examples(result, components=COMPONENTS, operations={})
