"""The tables of the clinic domain: people, where they practise, what they do, and whom they see."""

from doctors.models.appointment import PENDING, Appointment, AppointmentAction, AppointmentStatus
from doctors.models.department import Department, Specialty
from doctors.models.doctor import Doctor, DoctorAction, DoctorProfile
from doctors.models.location import PracticeLocation
from doctors.models.mail import DoctorMail, MailKind
from doctors.models.patient import Patient

__all__ = [
    "PENDING",
    "Appointment",
    "AppointmentAction",
    "AppointmentStatus",
    "Department",
    "Doctor",
    "DoctorAction",
    "DoctorMail",
    "DoctorProfile",
    "MailKind",
    "Patient",
    "PracticeLocation",
    "Specialty",
]
