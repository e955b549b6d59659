"""Invented people and places that generated files are made of."""

from __future__ import annotations

FIRST_NAMES: dict[str, tuple[str, ...]] = {
    "F": ("ADA", "BEATRIZ", "CHIOMA", "DELPHINE", "EKATERINA", "FATIMA", "GRETA", "HANNAH", "INGRID", "MARY JO"),
    "M": ("ANSEL", "BRAM", "CYRIL", "DESHAWN", "EMEKA", "FELIX", "GIOVANNI", "HIROSHI", "ISAAC", "JEAN-LUC"),
}
LAST_NAMES = (
    *("ABERNATHY", "BYRON", "CASTELLANOS", "D'AMBROSIO", "EKWUEME", "FAIRWEATHER", "GREYSTOKE", "HALVORSEN"),
    *("IVANOVA", "JANKOWSKI", "KOWALCZYK", "LINDQVIST", "MC ALLISTER", "NAKAGAWA", "OKONKWO", "PEREZ-QUINTERO"),
    *("QUILLFEATHER", "ROSENGARTEN", "ST. CLAIR", "TREVELYAN", "UNDERHILL", "VAN DER MEER", "WINTERBOURNE", "YAMADA"),
)
MIDDLE_NAMES = ("", "", "A", "B.", "CLAIRE", "E", "JAMES", "R.")
SUFFIXES = ("", "", "", "", "", "", "", "JR.", "II", "III")
CREDENTIALS = ("", "", "", "MD", "DO", "PT", "OD", "PA", "CSW")
SCHOOLS = (
    "OTHER",
    "NORTHMARSH COLLEGE OF MEDICINE",
    "UNIVERSITY OF EAST HARROW, SCHOOL OF MEDICINE",
    "LAKEFORD COLLEGE OF OPTOMETRY",
)
SPECIALTIES = (
    *(
        "INTERNAL MEDICINE",
        "FAMILY MEDICINE",
        "CHIROPRACTIC",
        "PHYSICAL THERAPY",
        "CARDIOVASCULAR DISEASE (CARDIOLOGY)",
    ),
    *("PSYCHOLOGIST, CLINICAL", "DIAGNOSTIC RADIOLOGY", "NEPHROLOGY", "GENERAL SURGERY", "ALLERGY/IMMUNOLOGY"),
    *("ORTHOPEDIC SURGERY", "OPHTHALMOLOGY", "EMERGENCY MEDICINE", "HOSPITALIST", "GERIATRIC MEDICINE"),
)
# City, state, first five digits of its ZIP codes; some begin with a zero.
CITIES = (
    ("EASTHAVEN", "CT", "06512"),
    ("PORT LOMAX", "NJ", "07030"),
    ("GRAYLING FALLS", "MA", "02108"),
    ("SANTA ELENA", "CA", "92109"),
    ("BRIGHTWATER", "FL", "33434"),
    ("CEDAR BLUFF", "TX", "75246"),
    ("NEW ASHFORD", "NY", "10034"),
    ("SAN TELMO", "PR", "00682"),
)
STREETS = ("MAPLE AVE", "HARBOR RD", "US HWY 78 E", "31ST AVE SE", "HOSPITAL PKWY", "ELM ST", "COMMERCE DR")
SECOND_LINES = ("", "", "SUITE 3", "FL 3", "BLDG B, SUITE 200", "UNIT 1450")
# A number that no hospital has, as the file has it (a leading zero is lost), and the name: one is missing, one has a
# double blank.
HOSPITALS = (
    ("990018", "EASTHAVEN COMMUNITY HOSPITAL"),
    ("990097", "LADY OF THE LAKE HOSPITAL AND MEDICAL CENTER"),
    ("99278", "SANTA ELENA MEDICAL CENTER"),
    ("98033", "PORT LOMAX GENERAL, LLC"),
    ("990106", "NEW ASHFORD UNIVERSITY HOSPITAL"),
    ("990021", "CEDAR BLUFF HOSPITAL  AND MEDICAL CENTERS"),
    ("990213", ""),
    ("990044", "BRIGHTWATER - PINE RIDGE"),
)
