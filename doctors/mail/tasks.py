"""Sending a mail."""

from __future__ import annotations

from uuid import UUID, uuid5

from django.db import transaction
from django.utils import timezone
from django_tasks import task

from doctors.background import GiveUp
from doctors.mail.delivery import deliver
from doctors.mail.messages import HeadNotice, message_of, notice_of
from doctors.models import Department, Doctor, DoctorMail, MailKind


@task
def send_doctor_mail(mail_id: str) -> None:
    """
    Send a mail that was asked for, unless it was sent; to the address that the doctor has now.

    :raises GiveUp: if the server refuses it for good, or the doctor has no address any more.
    """
    mail = DoctorMail.objects.select_related("doctor").filter(pk=mail_id, sent_at=None).first()
    if mail is None:
        return
    if not mail.doctor.email:
        raise GiveUp("The doctor has no e-mail address any more.")
    deliver(message_of(mail))
    DoctorMail.objects.filter(pk=mail.pk).update(sent_at=timezone.now())


@task
def tell_activated_doctors(notice_id: str, doctor_ids: list[int]) -> None:
    """
    Have a mail sent to each of the doctors who were activated together; to none twice, also if this runs again.

    Each mail is a task of its own: one that the server refuses keeps no other from being sent.
    """
    with transaction.atomic():
        doctors = (
            Doctor.objects.filter(pk__in=doctor_ids, email__isnull=False).order_by("pk").values_list("pk", flat=True)
        )
        mails = [
            DoctorMail(pk=uuid5(UUID(notice_id), str(key)), doctor_id=key, kind=MailKind.ACTIVATED) for key in doctors
        ]
        DoctorMail.objects.bulk_create(mails, ignore_conflicts=True)
        for mail in mails:
            send_doctor_mail.enqueue(str(mail.pk))


@task
def notify_department_head(notice_id: str, department_id: int, doctor_ids: list[int], change: str) -> None:
    """
    Tell the head of a department who came or left; whoever is the head by now, and nobody where there is none.

    :raises GiveUp: if the server refuses it for good.
    """
    department = Department.objects.select_related("head").filter(pk=department_id).first()
    doctors = list(Doctor.objects.filter(pk__in=doctor_ids).order_by("pk"))
    if department is None or department.head is None or not department.head.email or not doctors:
        return
    deliver(notice_of(HeadNotice(change), notice_id=notice_id, department=department, doctors=doctors))
