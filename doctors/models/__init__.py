"""The tables of the clinic domain: people, where they practise, what they do, and whom they see."""

from doctors.models.appointment import Appointment, AppointmentStatus
from doctors.models.department import Department, Specialty
from doctors.models.doctor import Doctor, DoctorProfile
from doctors.models.location import PracticeLocation
from doctors.models.patient import Patient

__all__ = [
    "Appointment",
    "AppointmentStatus",
    "Department",
    "Doctor",
    "DoctorProfile",
    "Patient",
    "PracticeLocation",
    "Specialty",
]
