// The theme that somebody chose on the site's other pages; that of the system where nobody did.
try {
  const theme = localStorage.getItem("recnn-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {} // storage may be forbidden
